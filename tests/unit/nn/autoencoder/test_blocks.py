"""The tokenizer's blocks one by one: their receptive fields, and equality with PyTorch's own operators."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medsyn2.nn.autoencoder.blocks import (
    Attention,
    CausalConv3d,
    GroupNorm,
    PlanarConv,
    PlanarGroupNorm,
    ResBlock,
    causal_conv,
    normalise_in_order,
    planar_conv,
    repeat_first_slice,
    symmetric_conv,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def volume(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def seen_slices(block: nn.Module, x: torch.Tensor, index: int) -> list[int]:
    """Return the slices of the input that slice `index` of the output depends on."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(block(x)[:, :, index].square().sum(), x)
    return torch.nonzero(gradient.abs().amax((0, 1, 3, 4))).flatten().tolist()


def test_the_first_slice_is_repeated_in_front():
    x = volume(2, 3, 4, 2, 2)
    padded = repeat_first_slice(x, 2)
    assert torch.equal(padded[:, :, 2:], x)
    assert torch.equal(padded[:, :, 0], x[:, :, 0])
    assert torch.equal(padded[:, :, 1], x[:, :, 0])
    assert repeat_first_slice(x, 0) is x


def test_causal_convolution_sees_two_slices_back_and_none_ahead():
    conv = CausalConv3d(2, 3).double()
    x = volume(1, 2, 6, 4, 4)
    assert conv(x).shape == (1, 3, 6, 4, 4)
    assert seen_slices(conv, x, 4) == [2, 3, 4]
    assert seen_slices(conv, x, 0) == [0]


def test_causal_convolution_of_equal_slices_gives_equal_slices():
    conv = CausalConv3d(2, 3).double()
    x = volume(1, 2, 1, 4, 4).expand(-1, -1, 5, -1, -1)
    y = conv(x)
    torch.testing.assert_close(y, y[:, :, :1].expand_as(y))


def test_causal_convolution_is_the_plain_one_where_nothing_is_padded():
    conv = CausalConv3d(2, 3).double()
    x = volume(1, 2, 6, 5, 5)
    plain = F.conv3d(x, conv.conv.weight, conv.conv.bias)
    torch.testing.assert_close(conv(x)[:, :, 2:, 1:-1, 1:-1], plain)


def test_planar_convolution_is_the_2d_one_of_each_slice():
    conv = PlanarConv(2, 3, 3, stride=2, padding=1).double()
    x = volume(2, 2, 5, 6, 8)
    slices = [F.conv2d(x[:, :, d], conv.weight, conv.bias, stride=2, padding=1) for d in range(5)]
    torch.testing.assert_close(conv(x), torch.stack(slices, dim=2))


def test_planar_normalisation_is_of_each_slice_and_the_plain_one_of_the_volume():
    planar, plain = PlanarGroupNorm(2, 4).double(), nn.GroupNorm(2, 4).double()
    x = volume(2, 4, 3, 5, 5) * torch.tensor([1.0, 10.0, 100.0]).view(1, 1, 3, 1, 1)
    normed = planar(x)
    for d in range(3):
        torch.testing.assert_close(normed[:, :, d], F.group_norm(x[:, :, d], 2, planar.weight, planar.bias))
    assert seen_slices(planar, x, 1) == [1]
    assert seen_slices(plain, x, 1) == [0, 1, 2]
    assert not torch.allclose(normed, plain(x))


@pytest.mark.parametrize("space", [(3, 4, 5), (4, 5), (1, 1, 1)])
def test_normalisation_in_order_is_torchs_with_its_gradients(space):
    x = (volume(2, 6, *space) * 3 + 50).requires_grad_()
    weight, bias = volume(6).requires_grad_(), volume(6).requires_grad_()
    found, expected = (norm(x, 3, weight, bias, 1e-6) for norm in (normalise_in_order, F.group_norm))
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(expected)
    for one, other in zip(
        *(torch.autograd.grad(y, (x, weight, bias), upstream) for y in (found, expected)), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalisation_in_order_keeps_order_and_type(dtype):
    x, weight, bias = (volume(2, 8, 3, 4, 5) + 3).to(dtype), torch.rand(8), torch.rand(8)
    for order in (torch.contiguous_format, torch.channels_last_3d):
        with torch.autocast("cpu", torch.bfloat16):
            found = normalise_in_order(x.contiguous(memory_format=order), 4, weight, bias, 1e-6)
        assert found.dtype == dtype
        assert found.is_contiguous(memory_format=order)
        expected = F.group_norm(x.double(), 4, weight.double(), bias.double(), 1e-6)
        torch.testing.assert_close(found.double(), expected, rtol=torch.finfo(dtype).eps, atol=10 * 1e-6)


def test_group_normalisation_on_the_cpu_is_torchs_to_the_last_bit():
    x = torch.randn(2, 8, 3, 4, 5)
    assert torch.equal(GroupNorm(4, 8, 1e-6)(x), nn.GroupNorm(4, 8, 1e-6)(x))


@pytest.mark.parametrize("factory", [causal_conv, symmetric_conv, planar_conv])
@pytest.mark.parametrize("kernel", [1, 3])
def test_every_convolution_keeps_the_size(factory, kernel):
    assert factory(2, 3, kernel).double()(volume(1, 2, 4, 5, 6)).shape == (1, 3, 4, 5, 6)


def test_symmetric_convolution_sees_both_neighbours():
    conv = symmetric_conv(2, 2, 3).double()
    assert seen_slices(conv, volume(1, 2, 6, 4, 4), 3) == [2, 3, 4]


@pytest.mark.parametrize("factory", [causal_conv, symmetric_conv, planar_conv])
def test_residual_block_normalises_as_it_convolves(factory):
    block = ResBlock(4, 4, 2, factory)
    planar = factory is planar_conv
    assert isinstance(block.norm1, PlanarGroupNorm) == isinstance(block.norm2, PlanarGroupNorm) == planar
    expected = [3] if planar else [0, 1, 2, 3, 4, 5]
    assert seen_slices(block.double(), volume(1, 4, 6, 4, 4), 3) == expected


def test_residual_block_without_its_branch_is_its_shortcut():
    same, wider = ResBlock(4, 4, 2, causal_conv).double(), ResBlock(4, 6, 2, causal_conv).double()
    x = volume(1, 4, 3, 4, 4)
    for block in (same, wider):
        nn.init.zeros_(block.conv2.conv.weight)
        nn.init.zeros_(block.conv2.conv.bias)
    assert torch.equal(same(x), x)
    torch.testing.assert_close(wider(x), wider.nin_shortcut(x))


def test_sliced_attention_attends_within_a_slice():
    attention = Attention(4, 2, causal_conv, sliced=True).double()
    attention.norm = nn.Identity()
    x = volume(2, 4, 3, 2, 3)
    assert attention(x).shape == x.shape
    assert seen_slices(attention, x, 1) == [1]
    alone = torch.cat([attention(x[:, :, d : d + 1]) for d in range(3)], dim=2)
    torch.testing.assert_close(attention(x), alone)


def test_sliced_attention_is_softmax_of_scaled_products():
    attention = Attention(4, 2, symmetric_conv, sliced=True).double()
    x = volume(1, 4, 1, 2, 3)
    normed = attention.norm(x)
    query, key, value = (project(normed).flatten(2)[0].T for project in (attention.q, attention.k, attention.v))
    weights = torch.softmax(query @ key.T / 4**0.5, dim=1)
    attended = (weights @ value).T.reshape(1, 4, 1, 2, 3)
    torch.testing.assert_close(attention(x), x + attention.proj_out(attended))


def test_attention_in_memory_order_mixes_slices_and_agrees_on_a_single_one():
    torch.manual_seed(1)
    mixing = Attention(4, 2, symmetric_conv, sliced=False).double()
    torch.manual_seed(1)
    sliced = Attention(4, 2, symmetric_conv, sliced=True).double()
    single = volume(1, 4, 1, 2, 3)
    torch.testing.assert_close(mixing(single), sliced(single))
    mixing.norm = nn.Identity()
    assert seen_slices(mixing, volume(1, 4, 3, 2, 3), 1) == [0, 1, 2]
