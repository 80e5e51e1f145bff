"""Depthwise 3 x 3 x 3 convolution of the token grid, with an explicit choice among three implementations.

    y(d, h, w, e) = b(e) + sum over i, j, k in (-1, 0, 1) of x(d + i, h + j, w + k, e) w(e, i, j, k)

with zeros outside the grid. It has 27 multiply-adds for each value, so that it should take as long as reading and
writing the tokens; libraries are far from that. All implementations take tokens channels last, sum in float32 or
better, and give the same values and gradients to rounding. `choose` is explicit as attention's is:

    device, type              implementation  because
    ------------------------  --------------  ----------------------------------------------------------------------
    CPU                       convolution     oneDNN has a kernel for it
    CUDA, capability 9.0 or   triton          one pass over the tokens in each direction; cuDNN's grouped 3-D
    10.0, up to 32 bits                       convolutions are reported to be slower than dense ones
    other CUDA, compiled      shifts          the compiler makes one kernel of the 27 terms
    other CUDA, eager         convolution     27 kernels would each read and write all tokens
    other devices             convolution     nothing is known of them

The Triton kernel (``depthwise_triton.py``) is left out before Triton 3.6, which comes with PyTorch 2.11, and for widths
that are no multiple of 16, whose rows would not be aligned. No GPU has timed this table. The choice is logged once for
each device, width and type.

Source: Slow grouped convolutions: NVIDIA/cutlass#1133.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from medsyn2.nn.machine import Machine, known_machine
from medsyn2.types import Float

log = logging.getLogger(__name__)

Name = Literal["convolution", "shifts", "triton"]

_TRITON_CAPABILITIES = ((9, 0), (10, 0))
_TRITON_VERSION = (3, 6)
_TRITON_ALIGNMENT = 16


@dataclass(frozen=True)
class Choice:
    """An implementation, by its name in `IMPLEMENTATIONS`."""

    name: Name
    reason: str  # Explanation for the log


def convolve_depthwise(
    x: Float[Tensor, "b ld lh lw e"], weight: Float[Tensor, "e 1 3 3 3"], bias: Float[Tensor, " e"]
) -> Float[Tensor, "b ld lh lw e"]:
    """Convolve each channel of a grid of tokens with its own kernel, in autocast's type where that is on."""
    x, weight, bias = _autocast(x, weight, bias)
    name = _name(x.device, x.shape[-1], x.dtype, torch.compiler.is_compiling())
    return IMPLEMENTATIONS[name](x, weight, bias)


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve with the library's grouped convolution: oneDNN's on CPUs, cuDNN's on GPUs."""
    volume = x.movedim(-1, 1)  # (b, e, ld, lh, lw), channels-last memory
    return F.conv3d(volume, weight, bias, padding=1, groups=len(weight)).movedim(1, -1)


def add_shifts(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve by adding 27 shifted and weighted copies of the grid, which `torch.compile` makes one kernel."""
    depth, height, width = x.shape[1:4]
    exact = torch.promote_types(x.dtype, torch.float32)
    padded = F.pad(x, (0, 0, 1, 1, 1, 1, 1, 1)).to(exact)
    taps, y = weight.to(exact), bias.to(exact)
    for d, h, w in product(range(3), repeat=3):
        y = y + padded[:, d : d + depth, h : h + height, w : w + width] * taps[:, 0, d, h, w]
    return y.to(x.dtype)


def run_triton(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve with the project's own kernel.

    Raises:
        ModuleNotFoundError: If Triton is not installed.
    """
    from medsyn2.nn.transformer.depthwise_triton import correlate

    return correlate(x, weight, bias)


IMPLEMENTATIONS: dict[Name, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "convolution": convolve,
    "shifts": add_shifts,
    "triton": run_triton,
}
"""All implementations by name; each takes tokens (b, ld, lh, lw, e), kernels (e, 1, 3, 3, 3) and biases of one type."""


def choose(machine: Machine, width: int, dtype: torch.dtype, compiled: bool) -> Choice:
    """Return the implementation for `width` channels on a machine, by the table in the module's docstring."""
    if machine.device_type == "cpu":
        return Choice("convolution", "oneDNN has a kernel for it")
    if machine.device_type != "cuda":
        return Choice("convolution", "nothing is known of this device")
    against = _against_triton(machine, width, dtype)
    if against is None:
        return Choice("triton", "one pass over the tokens")
    if compiled:
        return Choice("shifts", f"compiled into one kernel; no Triton kernel: {against}")
    return Choice("convolution", f"not compiled; no Triton kernel: {against}")


def _against_triton(machine: Machine, width: int, dtype: torch.dtype) -> str | None:
    """Return the reason to leave the Triton kernel out, or None."""
    reasons = (
        (machine.capability not in _TRITON_CAPABILITIES, "made for other capabilities"),
        (machine.triton_version < _TRITON_VERSION, "Triton is absent or too old"),
        (dtype.itemsize > 4, "it sums in float32"),
        (width % _TRITON_ALIGNMENT != 0, f"the width is no multiple of {_TRITON_ALIGNMENT}"),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in the type in which autocast would convolve them."""
    device_type = tensors[0].device.type
    if not torch.is_autocast_enabled(device_type):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device_type)) for tensor in tensors)


def _name(device: torch.device, width: int, dtype: torch.dtype, compiled: bool) -> Name:
    """Choose and log the first choice; `torch.compile` calls this once per graph, as a constant."""
    machine = known_machine(device)
    choice = choose(machine, width, dtype, compiled)
    _log_once(machine, width, dtype, choice)
    return choice.name


# Same effect as torch.compiler.assume_constant_result, without importing the compiler (one second per process).
_name._dynamo_marked_constant = True  # type: ignore[attr-defined]


@lru_cache
def _log_once(machine: Machine, width: int, dtype: torch.dtype, choice: Choice) -> None:
    log.info(
        "depthwise convolution on %s, %s, %d channels, torch %d.%d, Triton %d.%d: %s (%s)",
        *(machine.name, str(dtype).removeprefix("torch."), width, *machine.torch_version, *machine.triton_version),
        *(choice.name, choice.reason),
    )
