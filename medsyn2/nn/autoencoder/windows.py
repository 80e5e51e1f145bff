"""Sliding-window encoding and decoding of volumes too large for one pass.

A volume is cut into overlapping windows that start and end on whole latents and stay inside the volume: the
tokenizer's group normalisations would take padding for anatomy and shift every value. Windows are cropped to the
volume. Their results are blended in float32,

    y(i) = sum_s w_s(i) y_s(i),    sum_s w_s(i) = 1.

Windows lie on a Cartesian grid and a weight is a product of one factor per axis, so each axis is normalised by itself,
at the resolution of the result (latents when encoding, voxels when decoding), and no count volume is needed. Encoding
blends moments, not draws.

A causal network knows little about the first slices of a window and lacks at most one latent at its end, so in depth
a window takes over late, in the second half of the overlap; in the plane the change is spread over the whole overlap.
Constant windows (the background of masks, the air around the body) are computed once per value.

Windows are an approximation: 96 x 96 x 96 voxels are less than the receptive field of the public network. Encode all
data of a model with the same windows. Without windows a volume is encoded exactly, in slabs if it is large and the
layout allows (``slabs.py``).
"""

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import pairwise, product

import torch
from torch import Tensor

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder.slabs import has_planar_levels, moments_in_slabs
from medsyn2.nn.autoencoder.tokenizer import SCALE, CausalVideoVAE, Posterior, Size
from medsyn2.nn.compute_cost import ComputeCost
from medsyn2.nn.cost import cost_of, enter_simulation
from medsyn2.nn.cuda_autocast import CudaAutocast
from medsyn2.nn.precision import arithmetic
from medsyn2.types import Float
from medsyn2.vocabulary import Precision

SMALL_VOXELS = 2**24
"""Largest volume encoded in one pass: slabs would save little memory."""

LATE_TAKEOVER = 0.5
"""Share of the overlap in depth that belongs to the earlier window alone."""
LEAST_WEIGHT = 1e-4
"""Smallest weight before normalisation; keeps every sum positive."""

Parts = Generator[tuple[int, int], None, Tensor]
"""A computation in parts: yields the parts done and their number after each, and returns the result."""

Place = tuple[slice, slice, slice]
"""Extent of a window along (depth, height, width)."""


def encode_windowed(
    tokenizer: CausalVideoVAE,
    ct: Float[Tensor, "b 1 d h w"],
    window: Sequence[int] | None,
    overlap: float,
    constants: dict[tuple[float, Size], Float[Tensor, "1 two_z ld lh lw"]] | None = None,
    precision: Precision = "float32",
) -> Posterior:
    """Encode a batch of volumes, window by window.

    Args:
        ct: Images in [-1, 1], or masks at -0.5 and 0.5.
        window: Shape (depth, height, width) of the windows in voxels; None encodes the whole volume, exactly.
        overlap: Share of a window that its neighbour covers as well, in [0, 1).
        constants: Cache of the moments of constant windows, by value and shape; pass the same one for further
            volumes of the same tokenizer.
        precision: Arithmetic of the network; windows are summed in float32.

    Raises:
        ConfigError: If the tokenizer cannot compress the volume or the window, or the overlap is not in [0, 1).
    """
    latent_shape = tokenizer.latent_shape(ct.shape[2:])
    latent_window = _latent_window(tokenizer, latent_shape, window)
    places = _places(tokenizer, latent_shape, latent_window, overlap)
    plain = _in_precision(_moments(tokenizer, window), precision)
    known = {} if constants is None else constants

    def moments(place: Place) -> Tensor:
        crop = ct[:, :, *_voxels(tokenizer, place)]
        low, high = crop.aminmax()
        if low != high:
            return plain(crop)
        key = (float(low), tokenizer.volume_shape(latent_window))
        if key not in known:
            known[key] = plain(crop[:1])
        return known[key].expand(len(ct), -1, -1, -1, -1)

    return Posterior.from_moments(finish(_blend(moments, places, places)))


def decode_windowed(
    tokenizer: CausalVideoVAE,
    latents: Float[Tensor, "b z ld lh lw"],
    window: Sequence[int] | None,
    overlap: float,
    precision: Precision = "float32",
) -> Float[Tensor, "b 1 d h w"]:
    """Decode raw latents window by window.

    Args:
        latents: Latents, without any z-norm.
        window: Shape (depth, height, width) of the windows in voxels; None decodes everything at once.
        overlap: Share of a window that its neighbour covers as well, in [0, 1).
        precision: Arithmetic of the network; windows are summed in float32.

    Raises:
        ConfigError: If the tokenizer cannot compress the window, or the overlap is not in [0, 1).
    """
    return finish(decode_windows(tokenizer, latents, window, overlap, precision))


def decode_windows(
    tokenizer: CausalVideoVAE,
    latents: Float[Tensor, "b z ld lh lw"],
    window: Sequence[int] | None,
    overlap: float,
    precision: Precision = "float32",
) -> Parts:
    """Decode as `decode_windowed` does, and pause after each window."""
    depth, height, width = latents.shape[2:]
    latent_window = _latent_window(tokenizer, (depth, height, width), window)
    places = _places(tokenizer, (depth, height, width), latent_window, overlap)
    outputs = [_voxels(tokenizer, place) for place in places]
    decode = _in_precision(tokenizer.decode, precision)
    return (yield from _blend(lambda place: decode(latents[:, :, *place]), places, outputs))


def finish(parts: Parts) -> Tensor:
    """Run a computation to its end and return the result."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: Tensor = end.value
            return result


def encode_chunked(
    tokenizer: CausalVideoVAE, ct: Float[Tensor, "b 1 d h w"], num_slices: int, precision: Precision = "float32"
) -> Posterior:
    """Encode a volume in independent chunks of depth, with seams between them.

    For models that were trained with those seams; `encode_windowed` has none.
    """
    height, width = ct.shape[3:]
    tokenizer.latent_shape((num_slices, height, width))
    moments = map(_in_precision(tokenizer.moments, precision), ct.split(num_slices, dim=2))
    return Posterior.from_moments(torch.cat(list(moments), dim=2))


def encode_cost(
    tokenizer: CausalVideoVAE,
    shape: Sequence[int],
    window: Sequence[int] | None,
    overlap: float,
    precision: Precision = "float32",
) -> ComputeCost:
    """Predict the cost of `encode_windowed` for one volume, without gradients; of bfloat16 on CUDA.

    Returns:
        Operations of all windows, assuming none is constant, and peak memory: weights, volume, result and one
        window's tensors, without library workspaces.
    """
    latent_shape = tokenizer.latent_shape(shape)
    latent_window = _latent_window(tokenizer, latent_shape, window)
    places = len(_places(tokenizer, latent_shape, latent_window, overlap))
    moments, channels = _in_precision(_moments(tokenizer, window), precision), 2 * tokenizer.latent_channels
    like = tokenizer.last_layer
    with enter_simulation(), torch.no_grad(), CudaAutocast():
        crop = like.new_empty(1, 1, *tokenizer.volume_shape(latent_window))
        one = cost_of(lambda: moments(crop))
    held = math.prod(shape) * like.element_size() + _blend_bytes(places, channels, latent_shape)
    return ComputeCost(places * one.flops, _weight_bytes(tokenizer) + held + one.peak_bytes)


def decode_cost(
    tokenizer: CausalVideoVAE,
    shape: Sequence[int],
    window: Sequence[int] | None,
    overlap: float,
    precision: Precision = "float32",
) -> ComputeCost:
    """Predict the cost of `decode_windowed` for the latents of a volume, as `encode_cost` does."""
    latent_shape = tokenizer.latent_shape(shape)
    latent_window = _latent_window(tokenizer, latent_shape, window)
    places = len(_places(tokenizer, latent_shape, latent_window, overlap))
    like, z = tokenizer.last_layer, tokenizer.latent_channels
    decode = _in_precision(tokenizer.decode, precision)
    with enter_simulation(), torch.no_grad(), CudaAutocast():
        crop = like.new_empty(1, z, *latent_window)
        one = cost_of(lambda: decode(crop))
    held = z * math.prod(latent_shape) * like.element_size() + _blend_bytes(places, 1, shape)
    return ComputeCost(places * one.flops, _weight_bytes(tokenizer) + held + one.peak_bytes)


def _moments(tokenizer: CausalVideoVAE, window: Sequence[int] | None) -> Callable[[Tensor], Tensor]:
    if window is None and has_planar_levels(tokenizer):
        return lambda ct: tokenizer.moments(ct) if ct[0].numel() <= SMALL_VOXELS else moments_in_slabs(tokenizer, ct)
    return tokenizer.moments


def _in_precision(compute: Callable[[Tensor], Tensor], precision: Precision) -> Callable[[Tensor], Tensor]:
    def within(x: Tensor) -> Tensor:
        with arithmetic(precision, x.device):
            return compute(x)

    return within


def _weight_bytes(tokenizer: CausalVideoVAE) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in tokenizer.parameters())


def _blend_bytes(places: int, channels: int, shape: Sequence[int]) -> int:
    """Return the size of the float32 sum of windows; a single window needs none."""
    return 4 * channels * math.prod(shape) if places > 1 else 0


def _latent_window(tokenizer: CausalVideoVAE, latent_shape: Size, window: Sequence[int] | None) -> Size:
    if window is None:
        return latent_shape
    wanted = tokenizer.latent_shape(window)
    depth, height, width = (min(pair) for pair in zip(latent_shape, wanted, strict=True))
    return depth, height, width


def _voxels(tokenizer: CausalVideoVAE, place: Place) -> Place:
    """Return the voxels of a window of latents."""
    extent = tokenizer.volume_shape([axis.stop - axis.start for axis in place])
    depth, height, width = (
        slice(axis.start * scale, axis.start * scale + length)
        for axis, scale, length in zip(place, SCALE, extent, strict=True)
    )
    return depth, height, width


def _places(tokenizer: CausalVideoVAE, latent_shape: Size, window: Size, overlap: float) -> list[Place]:
    """Return the windows, in latents, in a fixed order."""
    if not 0.0 <= overlap < 1.0:
        raise ConfigError(
            f"The overlap of windows must be in [0, 1), got {overlap}.",
            code="window-overlap",
            remedy="set the overlap to a share of the window, such as 0.25.",
        )
    voxels = tokenizer.volume_shape(window)
    starts = []
    for axis in range(3):
        # With a first frame, n latents span less than n * SCALE voxels: larger steps would leave gaps.
        largest_step = voxels[axis] // SCALE[axis]
        step = max(1, min(largest_step, round(window[axis] * (1.0 - overlap))))
        last = latent_shape[axis] - window[axis]
        starts.append([*range(0, last, step), last])
    return [(slice(d, d + window[0]), slice(h, h + window[1]), slice(w, w + window[2])) for d, h, w in product(*starts)]


def _blend(compute: Callable[[Place], Tensor], places: Sequence[Place], outputs: Sequence[Place]) -> Parts:
    """Compute every window and add its weighted result to the output."""
    if len(places) == 1:
        only = compute(places[0])
        yield 1, 1
        return only
    weights = [_axis_weights([output[axis] for output in outputs], late=axis == 0) for axis in range(3)]
    total: Tensor | None = None
    for done, (place, output) in enumerate(zip(places, outputs, strict=True), start=1):
        part = compute(place)
        part = part.to(torch.promote_types(part.dtype, torch.float32))
        if total is None:
            total = part.new_zeros(*part.shape[:2], *(max(o[axis].stop for o in outputs) for axis in range(3)))
        depth, height, width = (weights[axis][output[axis].start].to(part) for axis in range(3))
        total[:, :, *output] += part * depth[:, None, None] * height[:, None] * width
        yield done, len(places)
    assert total is not None
    return total


def _axis_weights(spans: Iterable[slice], *, late: bool) -> dict[int, Float[Tensor, " length"]]:
    """Return the normalised factor of each window along one axis, by the window's start.

    Neighbours cross-fade over their overlap; `late` leaves its first part to the earlier window.
    """
    windows = sorted({(span.start, span.stop) for span in spans})
    factors = {start: torch.ones(stop - start, dtype=torch.float64) for start, stop in windows}
    for (start, stop), (next_start, _) in pairwise(windows):
        rise = _crossfade(stop - next_start, LATE_TAKEOVER if late else 0.0)
        factors[start][next_start - start :] *= 1.0 - rise
        factors[next_start][: stop - next_start] *= rise
    total = torch.zeros(windows[-1][1], dtype=torch.float64)
    for start, stop in windows:
        factors[start].clamp_(min=LEAST_WEIGHT)
        total[start:stop] += factors[start]
    return {start: factors[start] / total[start:stop] for start, stop in windows}


def _crossfade(length: int, delay: float) -> Float[Tensor, " length"]:
    """Return a raised cosine from 0 to 1 over `length` samples; the first share `delay` stays 0."""
    position = (torch.arange(length, dtype=torch.float64) + 0.5) / max(length, 1)
    ramp = ((position - delay) / (1.0 - delay)).clamp(0.0, 1.0)
    return torch.sin(0.5 * math.pi * ramp).square()
