"""Patches, positions, times, gated attention and the convolution over tokens."""

import math

import pytest
import torch
from torch.nn import functional as F

from medsyn2.nn.transformer.layers import (
    GatedAttention,
    HeadNorm,
    TimeEmbedding,
    TokenConvolution,
    modulate,
    patchify,
    positions,
    rotate,
    rotations,
    time_frequencies,
    unpatchify,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("patch", [(2, 2, 2), (1, 2, 2), (4, 3, 2), (1, 1, 1)])
def test_unpatchify_is_the_exact_inverse(patch):
    latents = torch.randn(2, 5, 8, 6, 4)
    tokens = patchify(latents, patch)
    grid = (8 // patch[0], 6 // patch[1], 4 // patch[2])
    assert tokens.shape == (2, math.prod(grid), math.prod(patch) * 5)
    assert torch.equal(unpatchify(tokens, grid, patch), latents)


def test_a_voxel_lands_in_the_documented_token_and_place():
    latents = torch.zeros(1, 4, 8, 6, 4)
    latents[0, 3, 5, 2, 3] = 1.0
    tokens = patchify(latents, (2, 2, 2))
    token = (5 // 2) * (3 * 2) + (2 // 2) * 2 + 3 // 2
    place = ((5 % 2) * 4 + (2 % 2) * 2 + 3 % 2) * 4 + 3
    assert tokens[0, token, place] == 1.0
    assert tokens.sum() == 1.0


def test_rolling_by_a_patch_permutes_tokens():
    latents = torch.randn(1, 4, 8, 6, 4)
    tokens = patchify(latents, (2, 2, 2)).view(1, 4, 3, 2, -1)
    rolled = patchify(latents.roll(2, dims=3), (2, 2, 2)).view(1, 4, 3, 2, -1)
    assert torch.equal(rolled, tokens.roll(1, dims=2))


def test_positions_factorise_by_axis_and_tell_all_tokens_apart():
    table = positions((4, 3, 2), 12, CPU)
    assert table.shape == (24, 12)
    assert not table.requires_grad
    grid = table.view(4, 3, 2, 12)
    assert torch.equal(grid[..., :4], grid[:, :1, :1, :4].expand(4, 3, 2, 4))
    assert torch.equal(grid[..., 4:8], grid[:1, :, :1, 4:8].expand(4, 3, 2, 4))
    assert torch.equal(grid[..., 8:], grid[:1, :1, :, 8:].expand(4, 3, 2, 4))
    assert len(torch.unique(table, dim=0)) == 24
    expected = torch.tensor([math.sin(3.0), math.sin(0.03), math.cos(3.0), math.cos(0.03)])
    torch.testing.assert_close(grid[3, 0, 0, :4], expected)


def test_positions_of_a_part_are_those_of_the_whole():
    whole = positions((6, 5, 4), 24, CPU).view(6, 5, 4, 24)
    part = positions((2, 5, 3), 24, CPU).view(2, 5, 3, 24)
    assert torch.equal(part, whole[:2, :, :3])


def test_time_frequencies_tell_close_times_apart_in_bfloat16():
    close = time_frequencies(torch.tensor([0.010, 0.012])).bfloat16().float()
    assert (close[0] - close[1]).norm() > 1.0
    assert torch.equal(time_frequencies(torch.zeros(1))[0, :128], torch.ones(128))


def test_time_embedding_has_the_width():
    assert TimeEmbedding(24)(torch.tensor([0.0, 1.0])).shape == (2, 24)


def test_modulate_with_zeros_is_layer_norm():
    x = torch.randn(2, 5, 12)
    zero = torch.zeros(2, 1, 12)
    torch.testing.assert_close(modulate(x, zero, zero), F.layer_norm(x, (12,), eps=1e-6))


def plain_attention(layer: GatedAttention, x, context):
    heads = layer.num_heads
    split = lambda y: y.unflatten(-1, (heads, -1)).transpose(1, 2)  # noqa: E731
    k, v = layer.key_value(context).chunk(2, dim=-1)
    attended = F.scaled_dot_product_attention(split(layer.query(x)), split(k), split(v))
    return attended.transpose(1, 2).flatten(2)


def test_without_a_gate_it_is_plain_attention_and_has_no_gate_parameters():
    layer = GatedAttention(12, 3, 12, qk_norm=False, gate=False)
    x = torch.randn(2, 7, 12)
    torch.testing.assert_close(layer(x, x), layer.out(plain_attention(layer, x, x)))
    assert not any("gate" in name for name, _ in layer.named_parameters())


def test_equals_the_attention_of_torch():
    layer = GatedAttention(12, 3, 12, qk_norm=False, gate=False)
    other = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat((layer.query.weight, layer.key_value.weight)))
        other.in_proj_bias.copy_(torch.cat((layer.query.bias, layer.key_value.bias)))
        other.out_proj.load_state_dict(layer.out.state_dict())
    x, context = torch.randn(2, 7, 12), torch.randn(2, 5, 12)
    torch.testing.assert_close(layer(x, context), other(x, context, context)[0])


def test_gate_logits_of_zero_halve_and_of_infinity_pass():
    layer = GatedAttention(12, 3, 8, qk_norm=False, gate=True)
    x, context = torch.rand(2, 7, 12), torch.randn(2, 5, 8)
    torch.nn.init.zeros_(layer.gate.weight)
    torch.testing.assert_close(layer(x, context), layer.out(0.5 * plain_attention(layer, x, context)))
    torch.nn.init.constant_(layer.gate.weight, 1e4)
    torch.testing.assert_close(layer(x, context), layer.out(plain_attention(layer, x, context)))


def test_gate_is_elementwise_and_from_the_queries_input():
    layer = GatedAttention(12, 3, 8, qk_norm=False, gate=True)
    x, context = torch.randn(2, 7, 12), torch.randn(2, 5, 8)
    expected = layer.out(torch.sigmoid(x @ layer.gate.weight.T) * plain_attention(layer, x, context))
    torch.testing.assert_close(layer(x, context), expected)


def test_gradients_of_gated_attention_are_those_of_finite_differences():
    layer = GatedAttention(6, 2, 4, qk_norm=True, gate=True).double()
    x = torch.randn(1, 3, 6, dtype=torch.float64, requires_grad=True)
    context = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x, context))


def test_qk_norm_bounds_the_logits():
    layer = GatedAttention(12, 3, 12, qk_norm=True, gate=False)
    x = torch.randn(2, 7, 12)
    q = layer.query_norm(layer.query(1e4 * x).unflatten(-1, (3, -1)))
    torch.testing.assert_close(q.square().mean(-1), torch.ones(2, 7, 3))


def test_masking_the_context_equals_leaving_it_out():
    layer = GatedAttention(12, 3, 8, qk_norm=False, gate=True)
    x, context = torch.randn(1, 7, 12), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, False, True, True, False]])
    torch.testing.assert_close(layer(x, context, mask), layer(x, context[mask][None]))


def test_convolution_starts_as_the_identity():
    layer = TokenConvolution(6)
    layer.reset_to_identity()
    x = torch.randn(2, 24, 6)
    assert torch.equal(layer(x, (4, 3, 2)), x)


def test_an_impulse_reaches_its_neighbours_and_no_other_channel():
    layer = TokenConvolution(3)
    layer.reset_to_identity()
    torch.nn.init.ones_(layer.depthwise.weight)
    x = torch.zeros(1, 5 * 4 * 3, 3)
    volume = x.view(5, 4, 3, 3)
    volume[2, 0, 2, 1] = 1.0
    reached = layer(x, (5, 4, 3)).view(5, 4, 3, 3)
    expected = torch.zeros(5, 4, 3, 3)
    expected[1:4, 0:2, 1:3, 1] = 1.0
    assert torch.equal(reached, expected)


def test_convolution_equals_torch_on_the_volume():
    layer = TokenConvolution(6)
    x = torch.randn(2, 24, 6)
    volume = x.transpose(1, 2).reshape(2, 6, 4, 3, 2)
    pointwise = layer.pointwise.weight[:, :, None, None, None]
    expected = F.conv3d(layer.depthwise(volume), pointwise, layer.pointwise.bias)
    torch.testing.assert_close(layer(x, (4, 3, 2)), expected.flatten(2).transpose(1, 2))


@pytest.mark.parametrize("head_width", [6, 24, 64, 72, 96, 128])
def test_rotated_products_depend_on_the_distance_alone(head_width):
    grid = (4, 5, 6)
    rotation = rotations(grid, head_width, torch.device("cpu"))
    q, k = torch.randn(2, head_width, generator=torch.Generator().manual_seed(0))

    def product(at, other):
        turned = []
        for x, (d, h, w) in ((q, at), (k, other)):
            token = (d * 5 + h) * 6 + w
            turned.append(rotate(x[None, None, None], rotation[:, token : token + 1]).flatten())
        return turned[0] @ turned[1]

    here, there = product((0, 1, 2), (1, 0, 4)), product((2, 4, 1), (3, 3, 3))
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)
    for other in ((2, 0, 4), (1, 1, 4), (1, 0, 5)):
        assert abs(product((0, 1, 2), other) - here) > 1e-3


def test_rotations_keep_lengths_types_and_the_first_token():
    rotation = rotations((2, 3, 4), 12, torch.device("cpu"))
    x = torch.randn(2, 3, 24, 12)
    torch.testing.assert_close(rotate(x, rotation).norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(rotate(x, rotation)[:, :, 0], x[:, :, 0])
    assert rotate(x.bfloat16(), rotation).dtype == torch.bfloat16


def test_small_scales_survive_bfloat16():
    x, scale = torch.randn(1, 5, 12), torch.full((1, 1, 12), 0.002)
    shift = torch.zeros(1, 1, 12)
    expected = F.layer_norm(x, (12,), eps=1e-6) * 1.002
    torch.testing.assert_close(modulate(x, scale.bfloat16(), shift.bfloat16()), expected, rtol=1e-5, atol=1e-6)
    assert modulate(x.bfloat16(), scale.bfloat16(), shift.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_heads_are_normalised_outside_autocast_in_the_type_of_the_input(dtype):
    norm = HeadNorm(24, eps=1e-6)
    x = torch.randn(2, 3, 5, 24, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x)
    assert found.dtype == dtype
    exact = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(found.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-12)
