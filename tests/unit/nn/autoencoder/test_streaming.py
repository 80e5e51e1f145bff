import random
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder import streaming
from medsyn2.nn.autoencoder.streaming import (
    DecodeStream,
    GroupStatistics,
    decode_streamed,
    pool_statistics,
    stream_cost,
)
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_cost
from medsyn2.nn.cost import cost_of, enter_simulation

SHAPES = [
    ("v1.2", "uniform_aligned"),
    ("v1.2", "first_frame"),
    ("v1.1", "uniform_paper"),
    ("v1.1", "first_frame"),
]


def network(layout: str = "v1.2", depth_mode: str = "uniform_aligned", dtype=torch.float64) -> CausalVideoVAE:
    torch.manual_seed(0)
    tokenizer = CausalVideoVAE(8, num_res_blocks=1, norm_groups=4, layout=layout, depth_mode=depth_mode)
    for name, parameter in tokenizer.named_parameters():
        if parameter.ndim < 2:
            nn.init.normal_(parameter, mean=float("norm" in name and "weight" in name), std=0.2)
    return tokenizer.to(dtype).eval()


def latents_of(depth: int, height: int = 1, width: int = 2, dtype=torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(depth)
    ramp = torch.linspace(-2, 2, depth).view(1, 1, -1, 1, 1)  # statistics differ from place to place
    return (torch.randn(1, 4, depth, height, width, generator=generator) + ramp).to(dtype)


@contextmanager
def frozen(tokenizer: CausalVideoVAE, statistics):
    """Let the plain decoder normalise by given statistics, by a formula of its own."""

    def instead(name):
        def hook(norm, inputs, output):
            (x,) = inputs
            given = statistics[name]
            split = x.unflatten(1, (norm.num_groups, -1))
            mean, variance = (each[:, :, None, None, None, None] for each in (given.mean, given.variance))
            normed = ((split - mean) / (variance + norm.eps).sqrt()).flatten(1, 2)
            return normed * norm.weight.view(1, -1, 1, 1, 1) + norm.bias.view(1, -1, 1, 1, 1)

        return hook

    hooks = [
        part.register_forward_hook(instead(name))
        for name, part in tokenizer.decoder.named_modules()
        if isinstance(part, nn.GroupNorm)
    ]
    yield
    for hook in hooks:
        hook.remove()


def some_statistics(tokenizer: CausalVideoVAE, latents):
    return pool_statistics(tokenizer, latents[:, :, :1], None)


@torch.no_grad()
@pytest.mark.parametrize(("layout", "depth_mode"), SHAPES)
def test_any_chunks_give_what_the_plain_decoder_gives_with_the_same_statistics(layout, depth_mode):
    tokenizer, latents = network(layout, depth_mode), latents_of(9)
    statistics = some_statistics(tokenizer, latents)
    with frozen(tokenizer, statistics):
        expected = tokenizer.decode(latents)
    for trial in range(3):
        draw, stream, parts, rest = random.Random(trial), DecodeStream(tokenizer, statistics), [], latents
        while rest.shape[2]:
            size = draw.randint(1, min(4, rest.shape[2]))
            parts.append(stream.push(rest[:, :, :size], last=size == rest.shape[2]))
            rest = rest[:, :, size:]
        assert len(parts) > 1
        torch.testing.assert_close(torch.cat(parts, dim=2), expected, rtol=0, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize(("depth", "chunk"), [(1, 1), (2, 1), (5, 2), (5, 7)])
@pytest.mark.parametrize(("layout", "depth_mode"), SHAPES[:3])
def test_with_the_statistics_of_the_volume_it_is_the_plain_decoder(layout, depth_mode, chunk, depth):
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 2e-5)):
        tokenizer, latents = network(layout, depth_mode, dtype), latents_of(depth, dtype=dtype)
        volume = decode_streamed(tokenizer, latents, pool_statistics(tokenizer, latents), chunk)
        expected = tokenizer.decode(latents)
        assert volume.shape == expected.shape
        torch.testing.assert_close(volume, expected, rtol=0, atol=tolerance)


@torch.no_grad()
def test_a_tokenizer_is_not_changed_by_a_stream():
    tokenizer, latents = network(), latents_of(4)
    before, names = tokenizer.decode(latents), [name for name, _ in tokenizer.named_modules()]
    other = latents_of(5)
    decode_streamed(tokenizer, latents, some_statistics(tokenizer, other), 1)
    assert torch.equal(tokenizer.decode(latents), before)
    assert [name for name, _ in tokenizer.named_modules()] == names


@torch.no_grad()
def test_statistics_of_windows_that_tile_the_volume_are_those_of_the_volume_at_the_first_normalisation():
    """Further on, each window was normalised by its own, and the pooled statistics are an estimate."""
    tokenizer, latents = network(), latents_of(8, 4, 4)
    name = "mid.block_1.norm1"
    whole = pool_statistics(tokenizer, latents)[name]
    x = tokenizer.decoder.conv_in(tokenizer.post_quant_conv(latents)).reshape(1, 4, -1)
    torch.testing.assert_close(whole.mean, x.mean(dim=2))
    torch.testing.assert_close(whole.variance, x.var(dim=2, correction=0))


def test_the_law_of_total_variance():
    parts = torch.randn(5, 2, 3, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    each = [GroupStatistics(part.mean(2), part.var(2, correction=0)) for part in parts]
    whole = parts.permute(1, 2, 0, 3).reshape(2, 3, -1)
    pooled = streaming._pool(each)
    torch.testing.assert_close(pooled.mean, whole.mean(2))
    torch.testing.assert_close(pooled.variance, whole.var(2, correction=0))


def test_windows_are_spread_over_the_whole_volume_and_stay_within():
    shape, window = (112, 56, 56), (24, 12, 12)
    starts = streaming._spread(shape, window, 8)
    assert len(set(starts)) == 8
    for axis in range(3):
        inside = [start[axis] for start in starts]
        assert min(inside) >= 0
        assert max(inside) + window[axis] <= shape[axis]
        assert len(set(inside)) >= 3
        assert min(inside) < 0.3 * shape[axis] < 0.7 * shape[axis] < max(inside) + window[axis]
    assert streaming._spread((4, 4, 6), (4, 4, 4), 8) == [(0, 0, 0), (0, 0, 2)]


@torch.no_grad()
def test_pooled_statistics_come_nearer_with_more_windows():
    tokenizer, latents = network(), latents_of(12, 4, 4)
    expected = tokenizer.decode(latents)

    def apart(count: int) -> float:
        statistics = pool_statistics(tokenizer, latents, (16, 16, 16), count)
        return F.mse_loss(decode_streamed(tokenizer, latents, statistics), expected).item()

    assert apart(12) < 0.5 * apart(1)


def test_the_authors_layout_has_no_stream():
    tokenizer = CausalVideoVAE(
        8, num_res_blocks=1, norm_groups=4, layout="official", depth_mode="uniform_paper"
    )
    with pytest.raises(ConfigError, match="stream-layout"):
        DecodeStream(tokenizer, {})
    with pytest.raises(ConfigError, match="stream-layout"):
        stream_cost(tokenizer, (16, 16, 16))


def test_an_empty_chunk_is_refused():
    with pytest.raises(ConfigError, match="stream-chunk"):
        decode_streamed(network(), latents_of(4), {}, 0)


def test_a_stream_costs_the_operations_of_the_plain_decoder_and_memory_that_does_not_grow_with_depth():
    tokenizer = network(dtype=torch.float32)
    window = (4, 8, 8)  # hardly anything to collect statistics from
    costs = [stream_cost(tokenizer, (depth, 24, 24), window) for depth in (32, 64)]
    plain = [decode_cost(tokenizer, (depth, 24, 24), None, 0.0) for depth in (32, 64)]
    with enter_simulation(), torch.no_grad():
        crop = torch.empty(1, 4, 1, 1, 1)
        one = cost_of(lambda: pool_statistics(tokenizer, crop)).flops
    assert [cost.flops - 8 * one for cost in costs] == [cost.flops for cost in plain]
    grown = 32 * 24 * 24 * 4 + 8 * 9 * 4 * 4  # the volume and its latents
    assert costs[1].peak_bytes - costs[0].peak_bytes == grown
    assert plain[1].peak_bytes - plain[0].peak_bytes > 10 * grown
