"""The precision in which trained networks run.

``bf16`` is PyTorch's autocast to bfloat16: products and convolutions have 8 bits of mantissa, normalisations and
weights stay in float32. The networks compute their last layers in float32 whatever the precision, and sums over many
results are kept in float32 by their owners: the solver's state, guidance, and the sum of windows.

``float32`` is IEEE's. PyTorch lets cuDNN round the inputs of float32 convolutions to TF32 (10 bits of mantissa) unless
it is told otherwise, as it is here, for last layers too. Products of matrices are IEEE's by PyTorch's default.

``auto`` is bfloat16 where the device computes it faster than float32: on NVIDIA's from compute capability 8.0 on.

Source: PyTorch's notes on automatic mixed precision and on CUDA semantics (TF32).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import get_args

import torch

from medsyn2.errors import ConfigError
from medsyn2.nn.device import TENSOR_CORES
from medsyn2.nn.machine import Machine, known_machine
from medsyn2.vocabulary import Precision, PrecisionSetting

log = logging.getLogger(__name__)


def precision_on(device: torch.device, setting: PrecisionSetting = "auto") -> Precision:
    """Return the precision of networks on `device`, and log it once.

    Raises:
        ConfigError: If bfloat16 is asked for and the device has none.
    """
    precision = choose_precision(setting, known_machine(device))
    _log_once(device, precision)
    return precision


def choose_precision(setting: PrecisionSetting, machine: Machine) -> Precision:
    """Return the precision on a machine; an explicit ``bf16`` also runs on CPUs, more slowly than float32.

    Raises:
        ConfigError: If there is no such precision, or bfloat16 is asked for and the GPU has none.
    """
    if setting not in get_args(PrecisionSetting):
        raise ConfigError(
            f"expected a precision, {', '.join(get_args(PrecisionSetting))}, got {setting!r}.",
            code="precision-unknown",
            remedy="take auto.",
        )
    on_cuda = machine.device_type == "cuda"
    fast = on_cuda and machine.capability >= TENSOR_CORES
    if setting == "bf16" and on_cuda and not fast:
        raise ConfigError(
            f"expected a GPU with bfloat16 for the precision bf16, and {machine.name} has none.",
            code="precision-unsupported",
            remedy="take the precision auto or float32.",
        )
    if setting == "auto":
        return "bf16" if fast else "float32"
    return setting


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in `precision` on `device` inside the context."""
    with _ieee_convolutions(device):
        if precision == "float32":
            yield
            return
        # Each weight is used once in a pass, so that keeping its copy in bfloat16 would only cost memory.
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            yield


@contextmanager
def _ieee_convolutions(device: torch.device) -> Iterator[None]:
    """Forbid TF32 in cuDNN's float32 convolutions; a switch of the whole process."""
    if device.type != "cuda":
        yield
        return
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # set by PyTorch at import
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


@lru_cache
def _log_once(device: torch.device, precision: Precision) -> None:
    log.info("trained networks run on %s in %s", device, precision)
