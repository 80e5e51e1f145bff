"""Decoding a volume in full planes, chunk after chunk of depth, without seams: experimental.

A causal decoder needs, of all that came before a chunk, the last two slices before each convolution and the last
slice before each doubling of depth. `DecodeStream` keeps them, so that chunks of any size give what the decoder gives
for all slices at once: nothing is computed twice, nothing is blended, and memory grows with the chunk, not with the
depth. A doubled slice lies between two; the second of a pair is given when the next slice has come, the very last
when the stream ends.

Group normalisation alone looks at the whole volume, which a stream has not seen. Its statistics are therefore
*frozen*: given beforehand. `pooled_statistics` estimates them from some windows of the same latents, by the law of
total variance,

    mean = E_w[mean_w],    variance = E_w[variance_w] + Var_w[mean_w],

over windows w of one size that are spread evenly. With one window as large as the volume that is exact, and so is
the stream. Otherwise it is an approximation of the whole-volume decoder; windows (``windows.py``) are another one,
nearer to the crops that the network was trained with, and remain the default.

The stream is the tokenizer's own decoder with three kinds of parts exchanged, sharing its parameters. Only causal
layouts (v1.1, v1.2) have one; the authors' looks ahead, and its attention mixes slices.

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
from medsyn2.nn.cost import Cost, cost_of, simulated
from medsyn2.types import Float

CHUNK = 1
"""Latents along depth that go through at once; every further one takes memory and saves no operation."""
STATISTICS_WINDOW = (24, 12, 12)
"""Latents (depth, height, width) of the windows that statistics are pooled from, where none are given: 96 x 96 x 96
voxels, which the paper's tokenizer was trained with."""
STATISTICS_WINDOWS = 8
"""Windows that statistics are pooled from."""


@dataclass(frozen=True)
class GroupStatistics:
    """Mean and variance of each group of channels before one normalisation, of each sample."""

    mean: Float[Tensor, "b groups"]
    variance: Float[Tensor, "b groups"]


Statistics = Mapping[str, GroupStatistics]
"""Of every group normalisation of the decoder, by its name there."""


class DecodeStream:
    """The decoder of a tokenizer, fed with latents from the first slice to the last.

    Args:
        tokenizer: The network; its parameters are shared, nothing in it changes.
        statistics: What its normalisations use in place of their input's own.

    Raises:
        ConfigError: If the layout is not causal.
    """

    def __init__(self, tokenizer: CausalVideoVAE, statistics: Statistics) -> None:
        check_causal(tokenizer)
        self._ending = _Ending()
        self._post_quant_conv = tokenizer.post_quant_conv
        self._decoder = _exchanged(tokenizer.decoder, "", self._streamed(statistics))

    def push(self, latents: Float[Tensor, "b z ld lh lw"], *, last: bool) -> Float[Tensor, "b 1 d h w"]:
        """Decode the next latents.

        Args:
            latents: At least one slice of raw latents, in full planes.
            last: Whether the stream ends with them.

        Returns:
            The next slices of the volume; all of them, from all pushes, are the volume.
        """
        self._ending.now = last
        images: Tensor = self._decoder(self._post_quant_conv(latents))
        return images.mean(dim=1, keepdim=True)

    def _streamed(self, statistics: Statistics) -> "_Exchange":
        def exchange(name: str, part: nn.Module) -> nn.Module | None:
            if isinstance(part, nn.GroupNorm):
                return _FrozenNorm(part, statistics[name])
            if isinstance(part, CausalConv3d) and part.front_pad:
                return _StreamedConv(part)
            return _StreamedDouble(part, self._ending) if isinstance(part, Double) else None

        return exchange


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
        statistics: What the normalisations use, such as `pooled_statistics` of the same latents.
        chunk: Latents along depth that go through at once.

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


def pooled_statistics(
    tokenizer: CausalVideoVAE,
    latents: Float[Tensor, "b z ld lh lw"],
    window: Sequence[int] | None = None,
    count: int = STATISTICS_WINDOWS,
) -> dict[str, GroupStatistics]:
    """Estimate the statistics of every normalisation of the decoder from some windows of the latents.

    Args:
        tokenizer: The network.
        latents: Raw latents of the volume that is to be decoded.
        window: Shape (depth, height, width) of the windows in voxels; None takes `STATISTICS_WINDOW`. One that
            is larger than the volume is the volume, and the statistics are exact.
        count: Windows, at least 1; they do not overlap where the volume allows it.

    Raises:
        ConfigError: If the window is no shape the tokenizer can compress.
    """
    wanted = STATISTICS_WINDOW if window is None else tokenizer.latent_shape(window)
    depth, height, width = (min(pair) for pair in zip(latents.shape[2:], wanted, strict=True))
    seen: dict[str, list[GroupStatistics]] = {}

    def watched(name: str, part: nn.Module) -> nn.Module | None:
        return _WatchedNorm(part, seen.setdefault(name, [])) if isinstance(part, nn.GroupNorm) else None

    decoder = _exchanged(tokenizer.decoder, "", watched)
    for d, h, w in _spread(latents.shape[2:], (depth, height, width), count):
        crop = latents[:, :, d : d + depth, h : h + height, w : w + width]
        decoder(tokenizer.post_quant_conv(crop))
    return {name: _pooled(each) for name, each in seen.items()}


def stream_cost(
    tokenizer: CausalVideoVAE,
    shape: Sequence[int],
    window: Sequence[int] | None = None,
    chunk: int = CHUNK,
) -> Cost:
    """Predict what `pooled_statistics` and `decode_streamed` take for one volume, without gradients.

    Args:
        tokenizer: The network; nothing is computed with it.
        shape: Voxels (depth, height, width) of the volume.
        window: As for `pooled_statistics`.
        chunk: As for `decode_streamed`.

    Returns:
        Operations of both; and the largest memory: the weights, the latents, the volume and the tensors of a
        chunk with what is kept between chunks, without what libraries take inside an operation.
    """
    check_causal(tokenizer)
    like = tokenizer.last_layer
    weights = sum(parameter.numel() * parameter.element_size() for parameter in tokenizer.parameters())
    with simulated(), torch.no_grad():
        latents = like.new_empty(1, tokenizer.latent_channels, *tokenizer.latent_shape(shape))
        cost = cost_of(
            lambda: decode_streamed(tokenizer, latents, pooled_statistics(tokenizer, latents, window), chunk)
        )
        held = latents.numel() * latents.element_size()
    return Cost(cost.flops, weights + held + cost.peak_bytes)


def check_causal(tokenizer: CausalVideoVAE) -> None:
    """Refuse a tokenizer that has no stream.

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


_Exchange = Callable[[str, nn.Module], nn.Module | None]
"""Returns what stands in for the part of that name, or None to keep it."""


def _exchanged(module: nn.Module, name: str, exchange: _Exchange) -> nn.Module:
    """Return a twin of `module` that shares its parameters and has some of its parts exchanged."""
    found = exchange(name, module)
    if found is not None:
        return found
    twin = copy.copy(module)
    twin._modules = {
        child: None if part is None else _exchanged(part, f"{name}.{child}".lstrip("."), exchange)
        for child, part in module._modules.items()
    }
    return twin


class _Ending:
    """Whether the chunk that is being decoded is the last, which every doubling of depth has to know."""

    now = False


class _FrozenNorm(nn.Module):
    """A group normalisation by given statistics."""

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
    """A group normalisation that notes the statistics it uses."""

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


class _StreamedConv(nn.Module):
    """A causal convolution that goes on from the chunk before."""

    def __init__(self, causal: CausalConv3d) -> None:
        super().__init__()
        self.causal = causal
        self.before: Tensor | None = None

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b out d h w"]:
        kind = x.device.type
        if torch.is_autocast_enabled(kind):  # as the convolution would; what is kept takes half the memory
            x = x.to(torch.get_autocast_dtype(kind))
        padded = repeat_first_slice(x, self.causal.front_pad, self.before)
        self.before = padded[:, :, -self.causal.front_pad :].clone()  # a view would keep the whole chunk
        convolved: Tensor = self.causal.conv(padded)
        return convolved


class _StreamedDouble(nn.Module):
    """A doubling of depth that gives the second slice of a pair when it has seen what comes after it."""

    def __init__(self, double: Double, ending: _Ending) -> None:
        super().__init__()
        self.whole = Double(plane=double.plane, first_frame=False)
        self.ending = ending
        self.alone = double.first_frame
        self.before: Tensor | None = None

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c out_d out_h out_w"]:
        parts = []
        if self.alone:  # the first slice of a video, which stays single
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
    """Return where windows begin: cells of a grid without overlaps, spread by a quasirandom sequence."""
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


def _pooled(parts: Sequence[GroupStatistics]) -> GroupStatistics:
    means = torch.stack([part.mean for part in parts])
    within = torch.stack([part.variance for part in parts]).mean(dim=0)
    return GroupStatistics(means.mean(dim=0), within + means.var(dim=0, correction=0))
