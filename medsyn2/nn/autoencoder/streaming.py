"""Decoding a volume in full planes, chunk by chunk in depth, without seams: experimental.

A causal decoder depends on a chunk's predecessors only through the last two slices before each convolution and the
last slice before each doubling of depth. `DecodeStream` keeps them, so that chunks of any size give the same result as
the decoder on all slices: nothing is computed twice or blended, and memory grows with the chunk, not with the depth.
A doubled slice lies between two inputs: the second of a pair is emitted after the next slice, or at the stream's end.

Only group normalisation depends on the whole volume. Its statistics are therefore *frozen*: given beforehand.
`pool_statistics` estimates them from some windows of the same latents, by the law of
total variance,

    mean = E_w[mean_w],    variance = E_w[variance_w] + Var_w[mean_w],

over windows w of one size that are spread evenly. With one window as large as the volume that is exact, and so is
the stream. Otherwise it approximates the whole-volume decoder; windows (``windows.py``) are another approximation,
closer to the crops of the training, and remain the default.

The stream is the tokenizer's decoder with three kinds of layers replaced; it shares the parameters. It needs a causal
layout (v1.1, v1.2): the authors' convolutions look ahead, and their attention mixes slices.

Source:
    Statistics shared among tiles: the tiled autoencoder of multidiffusion-upscaler. Caches of causal convolutions:
    WF-VAE (arXiv:2411.17459) among others. Spread: Roberts 2018, "The unreasonable effectiveness of quasirandom
    sequences".
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder.blocks import CausalConv3d, repeat_first_slice
from medsyn2.nn.autoencoder.resampling import Double
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE, Size
from medsyn2.nn.autoencoder.windows import Parts, finish
from medsyn2.nn.cost import ComputeCost, cost_of, enter_simulation
from medsyn2.types import Float

CHUNK = 1
"""Latents along depth per chunk; more take memory and save no operation."""
STATISTICS_WINDOW = (24, 12, 12)
"""Default windows for statistics, in latents (depth, height, width): 96 x 96 x 96 voxels, the crops of the paper's
tokenizer."""
STATISTICS_WINDOWS = 8
"""Default number of windows for statistics."""


@dataclass(frozen=True)
class GroupStatistics:
    """Mean and variance per sample and group of channels, before a normalisation."""

    mean: Float[Tensor, "b groups"]
    variance: Float[Tensor, "b groups"]


Statistics = Mapping[str, GroupStatistics]
"""Statistics of every group normalisation by its name in the decoder."""


class DecodeStream:
    """A tokenizer's decoder, fed with latents from the first slice to the last.

    Args:
        tokenizer: The network; its parameters are shared and unchanged.
        statistics: Statistics for its normalisations.

    Raises:
        ConfigError: If the layout is not causal.
    """

    def __init__(self, tokenizer: CausalVideoVAE, statistics: Statistics) -> None:
        check_causal(tokenizer)
        self._ending = _Ending()
        self._post_quant_conv = tokenizer.post_quant_conv
        self._decoder = _replace_parts(tokenizer.decoder, "", self._streaming_parts(statistics))

    def push(self, latents: Float[Tensor, "b z ld lh lw"], *, last: bool) -> Float[Tensor, "b 1 d h w"]:
        """Decode the next latents.

        Args:
            latents: At least one slice of raw latents, in full planes.
            last: These are the last latents.

        Returns:
            The next slices of the volume.
        """
        self._ending.now = last
        images: Tensor = self._decoder(self._post_quant_conv(latents))
        return images.mean(dim=1, keepdim=True)

    def _streaming_parts(self, statistics: Statistics) -> "_PartReplacement":
        def replace_part(name: str, part: nn.Module) -> nn.Module | None:
            if isinstance(part, nn.GroupNorm):
                return _FrozenNorm(part, statistics[name])
            if isinstance(part, CausalConv3d) and part.front_pad:
                return _StreamingConv(part)
            return _StreamingDouble(part, self._ending) if isinstance(part, Double) else None

        return replace_part


def decode_streamed(
    tokenizer: CausalVideoVAE,
    latents: Float[Tensor, "b z ld lh lw"],
    statistics: Statistics,
    chunk: int = CHUNK,
) -> Float[Tensor, "b 1 d h w"]:
    """Decode raw latents in full planes, `chunk` latents of depth at a time.

    Args:
        tokenizer: The network, of a causal layout.
        latents: Latents, without any z-norm.
        statistics: Statistics for the normalisations, such as `pool_statistics` of the same latents.
        chunk: Latents along depth per chunk.

    Returns:
        The volume, at least in float32.

    Raises:
        ConfigError: If the layout is not causal, or the chunk is empty.
    """
    if chunk < 1:
        raise ConfigError(
            f"A stream takes chunks of at least one latent, got {chunk}.",
            code="stream-chunk",
            remedy=f"leave the chunk at {CHUNK}, or take more for fewer, larger steps.",
        )
    return finish(decode_stream(tokenizer, latents, statistics, chunk))


def decode_stream(
    tokenizer: CausalVideoVAE,
    latents: Float[Tensor, "b z ld lh lw"],
    statistics: Statistics,
    chunk: int = CHUNK,
) -> Parts:
    """Decode as `decode_streamed` does, and pause after each chunk."""
    stream, volume, done = DecodeStream(tokenizer, statistics), None, 0
    pieces = latents.split(chunk, dim=2)
    for index, piece in enumerate(pieces):
        part = stream.push(piece, last=index == len(pieces) - 1)
        if volume is None:
            shape = tokenizer.volume_shape(latents.shape[2:])
            dtype = torch.promote_types(part.dtype, torch.float32)
            volume = part.new_empty(len(latents), 1, *shape, dtype=dtype)
        volume[:, :, done : done + part.shape[2]] = part
        done += part.shape[2]
        yield index + 1, len(pieces)
    assert volume is not None
    assert done == volume.shape[2]
    return volume


def pool_statistics(
    tokenizer: CausalVideoVAE,
    latents: Float[Tensor, "b z ld lh lw"],
    window: Sequence[int] | None = None,
    count: int = STATISTICS_WINDOWS,
) -> dict[str, GroupStatistics]:
    """Estimate the statistics of every normalisation of the decoder from windows of the latents.

    Args:
        tokenizer: The network.
        latents: Raw latents of the volume to be decoded.
        window: Shape (depth, height, width) of the windows in voxels; None takes `STATISTICS_WINDOW`. A window is
            cropped to the volume; statistics of the whole volume are exact.
        count: Windows, at least 1; they do not overlap where the volume allows it.

    Raises:
        ConfigError: If the tokenizer cannot compress the window's shape.
    """
    wanted = STATISTICS_WINDOW if window is None else tokenizer.latent_shape(window)
    depth, height, width = (min(pair) for pair in zip(latents.shape[2:], wanted, strict=True))
    seen: dict[str, list[GroupStatistics]] = {}

    def watch(name: str, part: nn.Module) -> nn.Module | None:
        return _WatchedNorm(part, seen.setdefault(name, [])) if isinstance(part, nn.GroupNorm) else None

    decoder = _replace_parts(tokenizer.decoder, "", watch)
    for d, h, w in _spread(latents.shape[2:], (depth, height, width), count):
        crop = latents[:, :, d : d + depth, h : h + height, w : w + width]
        decoder(tokenizer.post_quant_conv(crop))
    return {name: _pool(each) for name, each in seen.items()}


def stream_cost(
    tokenizer: CausalVideoVAE,
    shape: Sequence[int],
    window: Sequence[int] | None = None,
    chunk: int = CHUNK,
) -> ComputeCost:
    """Predict the cost of `pool_statistics` and `decode_streamed` for one volume, without gradients.

    Args:
        tokenizer: The network; nothing is computed with it.
        shape: Voxels (depth, height, width) of the volume.
        window: Window of `pool_statistics`, in voxels.
        chunk: Latents along depth per chunk.

    Returns:
        Operations, and peak memory: weights, latents, volume, a chunk's tensors and the state between chunks,
        without library workspaces.
    """
    check_causal(tokenizer)
    like = tokenizer.last_layer
    weights = sum(parameter.numel() * parameter.element_size() for parameter in tokenizer.parameters())
    with enter_simulation(), torch.no_grad():
        latents = like.new_empty(1, tokenizer.latent_channels, *tokenizer.latent_shape(shape))
        cost = cost_of(
            lambda: decode_streamed(tokenizer, latents, pool_statistics(tokenizer, latents, window), chunk)
        )
        held = latents.numel() * latents.element_size()
    return ComputeCost(cost.flops, weights + held + cost.peak_bytes)


def check_causal(tokenizer: CausalVideoVAE) -> None:
    """Refuse a tokenizer that cannot be decoded as a stream.

    Raises:
        ConfigError: If the layout is not causal.
    """
    if isinstance(tokenizer.post_quant_conv, CausalConv3d):
        return
    raise ConfigError(
        "Decoding as a stream needs a tokenizer that never looks ahead (layouts v1.1 and v1.2); this one has the "
        "layout of the authors' release, whose convolutions and attention do.",
        code="stream-layout",
        remedy="decode in windows (sampling.decode: windows).",
    )


_PartReplacement = Callable[[str, nn.Module], nn.Module | None]
"""Returns the replacement of the layer of that name, or None to keep it."""


def _replace_parts(module: nn.Module, name: str, replace_part: _PartReplacement) -> nn.Module:
    """Return a copy of `module` that shares its parameters and has some layers replaced."""
    found = replace_part(name, module)
    if found is not None:
        return found
    twin = copy.copy(module)
    twin._modules = {
        child: None if part is None else _replace_parts(part, f"{name}.{child}".lstrip("."), replace_part)
        for child, part in module._modules.items()
    }
    return twin


class _Ending:
    """State shared by all doublings of depth: the current chunk is the last."""

    now = False


class _FrozenNorm(nn.Module):
    """Group normalisation with given statistics."""

    def __init__(self, norm: nn.GroupNorm, statistics: GroupStatistics) -> None:
        super().__init__()
        self.weight = norm.weight
        per_group = norm.num_channels // norm.num_groups
        mean, variance = (
            each.repeat_interleave(per_group, dim=1) for each in (statistics.mean, statistics.variance)
        )
        scale = norm.weight.detach() * torch.rsqrt(variance + norm.eps)  # (b, c)
        self.scale, self.shift = scale, norm.bias.detach() - mean * scale

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d h w"]:
        scale, shift = (
            each.to(self.weight.dtype)[:, :, None, None, None] for each in (self.scale, self.shift)
        )
        return torch.addcmul(shift, x, scale)


class _WatchedNorm(nn.Module):
    """Group normalisation that records its statistics."""

    def __init__(self, norm: nn.Module, seen: list[GroupStatistics]) -> None:
        super().__init__()
        assert isinstance(norm, nn.GroupNorm)
        self.norm, self.weight, self.seen = norm, norm.weight, seen

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d h w"]:
        groups = x.reshape(len(x), self.norm.num_groups, -1)
        variance, mean = torch.var_mean(
            groups.to(torch.promote_types(x.dtype, torch.float32)), 2, correction=0
        )
        self.seen.append(GroupStatistics(mean.double(), variance.double()))
        normed: Tensor = self.norm(x)
        return normed


class _StreamingConv(nn.Module):
    """Causal convolution that continues from the preceding chunk."""

    def __init__(self, causal: CausalConv3d) -> None:
        super().__init__()
        self.causal = causal
        self.before: Tensor | None = None

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b out d h w"]:
        kind = x.device.type
        if torch.is_autocast_enabled(kind):  # as the convolution would; halves the memory of the state
            x = x.to(torch.get_autocast_dtype(kind))
        padded = repeat_first_slice(x, self.causal.front_pad, self.before)
        self.before = padded[:, :, -self.causal.front_pad :].clone()  # a view would keep the whole chunk
        convolved: Tensor = self.causal.conv(padded)
        return convolved


class _StreamingDouble(nn.Module):
    """Doubling of depth that emits the second slice of a pair after the next input slice."""

    def __init__(self, double: Double, ending: _Ending) -> None:
        super().__init__()
        self.whole = Double(plane=double.plane, first_frame=False)
        self.ending = ending
        self.alone = double.first_frame
        self.before: Tensor | None = None

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c out_d out_h out_w"]:
        parts = []
        if self.alone:  # the first frame stays single
            parts.append(self.whole(x[:, :, :1])[:, :, :1])
            x, self.alone = x[:, :, 1:], False
        if x.shape[2]:
            known = x if self.before is None else torch.cat([self.before, x], dim=2)
            doubled = self.whole(known)
            first = 0 if self.before is None else 1
            parts.append(doubled[:, :, first : None if self.ending.now else -1])
            self.before = x[:, :, -1:].clone()
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _spread(shape: Sequence[int], window: Size, count: int) -> list[tuple[int, int, int]]:
    """Return the starts of `count` windows: cells of a grid without overlaps, in quasirandom order."""
    starts = [
        [*range(0, size - length, length), size - length] for size, length in zip(shape, window, strict=True)
    ]
    cells = len(starts[0]) * len(starts[1]) * len(starts[2])
    if count >= cells:
        return list(product(*starts))
    ratio = 1.2207440846057596  # the real root of x^4 = x + 1
    found: dict[tuple[int, int, int], None] = {}
    number = 0
    while len(found) < count:
        shares = ((0.5 + number * ratio**-power) % 1.0 for power in (1, 2, 3))
        d, h, w = (axis[int(share * len(axis))] for axis, share in zip(starts, shares, strict=True))
        found[d, h, w] = None
        number += 1
    return list(found)


def _pool(parts: Sequence[GroupStatistics]) -> GroupStatistics:
    means = torch.stack([part.mean for part in parts])
    within = torch.stack([part.variance for part in parts]).mean(dim=0)
    return GroupStatistics(means.mean(dim=0), within + means.var(dim=0, correction=0))
