"""Initialisation of a tokenizer trained from scratch.

With PyTorch's initialisation an autoencoder of this depth passes almost no signal, and hundreds of steps are spent on
learning that neighbouring voxels are alike. Here the latents start as *Walsh coefficients* of the block of voxels that
each latent stands for, those of the lowest frequencies:

* Every kernel of stride 2 turns a channel into the sums and differences of the voxels that it merges (Haar's
  transform). Of all that it could make of its channels it keeps as many as it has room for, the lowest frequencies
  first. Averages alone would hide the differences, which a decoder needs, behind a thousandfold smaller signal.
* The last of these kernels makes each coefficient twice, with both signs, because SiLU(x) - SiLU(-x) = x: so the
  coefficients pass the encoder's last activation unchanged. A constant of both signs stands beside them, and carries
  their scale through the normalisation before.
* Residual branches add zero, and shortcuts copy.
* In the layout ``subvoxel`` the decoder is the inverse: its steps up add up the Walsh functions, and end as the encoder
  does. In the other layouts they interpolate, with some noise that tells their channels apart, and the image is an
  enlargement of the first coefficient, the mean.

The posterior starts narrow, because noise would hide the little that the latents carry. A start as an inverse is good
already, and lost to steps that are too large: Adam's rate is 3e-4 for it in ``configs/bundled.yaml``.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from medsyn2.nn.autoencoder.resampling import SubvoxelUp
from medsyn2.nn.autoencoder.tokenizer import SCALE, CausalVideoVAE

LOG_VARIANCE = -6.0
UP_NOISE = 0.3
"""Size of the noise in the kernels that double, beside the 1 of the voxel itself."""
OUTPUT_GAIN = 0.6
"""Standard deviation of a chest's voxels in [-1, 1], which the decoder's last normalisation makes 1."""
STEADY = 4.0
"""Size of the constants that keep the scale of an image through a normalisation."""
MEAN_GAIN, LARGEST_GAIN = 2.0, 50.0
"""Factors of the mean and of the faintest coefficients, which make latents of a chest about as large as each other."""

Frequency = tuple[int, int, int]
"""Changes of sign of a Walsh function along (depth, height, width) of a latent's block."""


class Coefficient(NamedTuple):
    """A latent at the start."""

    frequency: Frequency  # Walsh function that the block is multiplied with
    gain: float  # Latent of a block that is this function


@torch.no_grad()
def start_from_walsh(tokenizer: CausalVideoVAE, generator: torch.Generator) -> None:
    """Set the weights of an untrained tokenizer so that latents are Walsh coefficients of their blocks."""
    for name, module in tokenizer.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            if module.bias is not None:
                module.bias.zero_()
            _set_kernel(name, module.weight, generator)
    coefficients = _start_encoder(tokenizer)
    if any(isinstance(module, SubvoxelUp) for module in tokenizer.modules()):
        _invert_encoder(tokenizer, coefficients)
    else:
        _start_decoder(tokenizer)
    tokenizer.get_parameter("quant_conv.conv.bias")[tokenizer.latent_channels :] = LOG_VARIANCE


def _set_kernel(name: str, weight: Tensor, generator: torch.Generator) -> None:
    if ".conv2" in name or ".proj_out" in name:
        weight.zero_()
    elif "quant_conv" in name:
        weight.copy_(torch.eye(len(weight)).reshape(weight.shape))
    elif ".nin_shortcut" in name:
        weight.zero_()
        outputs = torch.arange(len(weight))
        weight.flatten(1)[outputs, outputs % weight.shape[1]] = 1
    else:
        weight.copy_(torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5)
        if ".upsample" in name:
            weight.mul_(UP_NOISE)
            if len(weight) == weight.shape[1]:
                centre(weight).add_(torch.eye(len(weight)))


def centre(weight: Tensor) -> Tensor:
    """Return the part of a kernel that the voxel itself is multiplied with: the last in depth, as kernels look back."""
    return weight[..., -1, 1, 1] if weight.ndim == 5 else weight[..., 1, 1]


def _start_encoder(tokenizer: CausalVideoVAE) -> list[Coefficient]:
    """Make the latents Walsh coefficients, and return those of the first latents."""
    encoder = tokenizer.encoder
    first = encoder.get_parameter("conv_in.weight")
    first[0] = 0
    centre(first)[0] = 1 / first.shape[1]
    downs = [
        module
        for name, module in encoder.named_modules()
        if ".downsample" in name and isinstance(module, nn.Conv2d | nn.Conv3d)
    ]
    found: list[Frequency] = [(0, 0, 0)]
    for index, down in enumerate(downs):
        left = len(downs) - 1 - index
        found = _set_haar(down.weight, found, 2**left, both_signs=left == 0)
    assert downs[-1].bias is not None
    downs[-1].bias[2 * len(found)], downs[-1].bias[2 * len(found) + 1] = STEADY, -STEADY
    last = encoder.get_parameter("conv_out.conv.weight")
    last.zero_()
    scale = STEADY * (2 / last.shape[1]) ** 0.5  # standard deviation of all channels, which are normalised together
    coefficients = []
    for rank, frequency in enumerate(found[: tokenizer.latent_channels]):
        gain = min(MEAN_GAIN * (1 + 4 * rank), LARGEST_GAIN)
        centre(last)[rank, rank], centre(last)[rank, rank + len(found)] = gain * scale, -gain * scale
        coefficients.append(Coefficient(frequency, gain))
    return coefficients


def _set_haar(weight: Tensor, channels: Sequence[Frequency], step: int, *, both_signs: bool) -> list[Frequency]:
    """Set a kernel of stride 2 to Haar's transform of the first channels, and to averages of the rest.

    Args:
        channels: Frequencies of the first channels.
        step: Frequency of the differences between the voxels that the kernel merges.

    Returns:
        The frequencies of the channels that it makes.
    """
    axes = (range(2 if weight.ndim == 5 and weight.shape[2] > 1 else 1), range(2), range(2))
    candidates = [
        (_add(frequency, pattern, step), channel, pattern)
        for channel, frequency in enumerate(channels)
        for pattern in product(*axes)
    ]
    candidates.sort(key=lambda candidate: (_height(candidate[0]), candidate))
    chosen = candidates[: len(weight) // 2 - 1 if both_signs else len(weight)]
    size = sum(1 for _ in product(*axes))
    weight.zero_()
    taps = weight if weight.ndim == 5 else weight[:, :, None]  # (out, in, depth, height, width)
    taps = taps[:, :, -len(axes[0]) :, :2, :2]  # padding in depth is in front
    for made, (_, channel, pattern) in enumerate(chosen):
        for voxel in product(*axes):
            sign = (-1) ** sum(p * v for p, v in zip(pattern, voxel, strict=True))
            taps[(made, channel, *voxel)] = sign / size
    if both_signs:
        weight[len(chosen) : 2 * len(chosen)] = -weight[: len(chosen)]
    for made in range(2 * len(chosen) + 2 if both_signs else len(chosen), len(weight)):
        taps[made, made % weight.shape[1]] = 1 / size
    return [frequency for frequency, _, _ in chosen]


def _add(frequency: Frequency, pattern: tuple[int, ...], step: int) -> Frequency:
    depth, height, width = (old + step * new for old, new in zip(frequency, pattern, strict=True))
    return depth, height, width


def _height(frequency: Frequency) -> float:
    """Return the square of a frequency, in changes of sign per voxel."""
    return sum((count / length) ** 2 for count, length in zip(frequency, SCALE, strict=True))


def _start_decoder(tokenizer: CausalVideoVAE) -> None:
    """Let the decoder pass each latent with both signs, and make the image of the first one."""
    first = tokenizer.decoder.get_parameter("conv_in.conv.weight")
    first.zero_()
    for channel in range(len(first)):
        centre(first)[channel, channel // 2 % tokenizer.latent_channels] = (-1) ** channel
    last = tokenizer.decoder.get_parameter("conv_out.conv.weight")
    last.zero_()
    centre(last)[:, :2] = torch.tensor([OUTPUT_GAIN, -OUTPUT_GAIN])[: last.shape[1]]


def _invert_encoder(tokenizer: CausalVideoVAE, coefficients: Sequence[Coefficient]) -> None:
    """Let the decoder add up the Walsh functions of the latents."""
    decoder = tokenizer.decoder
    first = decoder.get_parameter("conv_in.conv.weight")
    first.zero_()
    kept = coefficients[: len(first)]
    for channel, coefficient in enumerate(kept):
        centre(first)[channel, channel] = 1 / coefficient.gain
    left = [coefficient.frequency for coefficient in kept]
    ups = [module for module in decoder.modules() if isinstance(module, SubvoxelUp)]
    for step, up in zip((1, 2, 4), reversed(ups), strict=True):
        left = _set_inverse_haar(up, left, step)
    _steady(ups[0], decoder.get_parameter("conv_out.conv.weight"))


def _set_inverse_haar(up: SubvoxelUp, channels: Sequence[Frequency], step: int) -> list[Frequency]:
    """Set the kernels of a step up to the inverse of Haar's transform for the first channels; the rest stay noise.

    Args:
        channels: Frequencies of the first channels.
        step: Frequency of the differences between the voxels that the step makes.

    Returns:
        The frequencies of the channels that it makes, without those that it has no room for.
    """
    kernels = up.conv.conv.weight.unflatten(0, (-1, *up.block))  # (channel, i, j, k, in, depth, height, width)
    parts = [_split(frequency, step) for frequency in channels]
    made = sorted({rest for rest, _ in parts}, key=lambda frequency: (_height(frequency), frequency))[: len(kernels)]
    for number, frequency in enumerate(made):
        kernels[number] = 0
        for voxel in product(*(range(length) for length in up.block)):
            for channel, (rest, pattern) in enumerate(parts):
                if rest == frequency:
                    sign = (-1) ** sum(p * v for p, v in zip(pattern, voxel, strict=True))
                    centre(kernels[(number, *voxel)][None])[0, channel] = sign
    return made


def _split(frequency: Frequency, step: int) -> tuple[Frequency, tuple[int, ...]]:
    """Return a frequency without the changes of sign at `step`, and along which axes there are any."""
    pattern = tuple(count // step % 2 for count in frequency)
    return _add(frequency, pattern, -step), pattern


def _steady(up: SubvoxelUp, last: Tensor) -> None:
    """Make the image of the first channel, beside constants so large that the last normalisation is of them."""
    kernels = up.conv.conv.weight.unflatten(0, (-1, *up.block))
    kernels[1] = -kernels[0]
    assert up.conv.conv.bias is not None
    biases = up.conv.conv.bias.unflatten(0, (-1, *up.block))
    biases[2], biases[3] = STEADY, -STEADY
    gain = STEADY * (2 / last.shape[1]) ** 0.5
    last.zero_()
    centre(last)[:, 0], centre(last)[:, 1] = gain, -gain
