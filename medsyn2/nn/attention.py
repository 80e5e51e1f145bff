"""Scaled dot-product attention, with an explicit choice of PyTorch's kernels.

All kernels compute softmax(q k^T / sqrt(d) + mask) v, but differ in speed, accepted inputs and faults. PyTorch's own
choice falls back to the plain kernel silently, which writes the score matrix to memory: 3.6 GiB a head for 43,904
tokens in bfloat16. `choose` fixes the order instead:

    device, type              allowed, in this order       because
    ------------------------  ---------------------------  -----------------------------------------------------
    CPU                       flash (for CPUs), math       it has one fused kernel, which takes masks
    CUDA, float64             math                         no fused kernel takes it
    CUDA, float32             efficient, math              flash and cuDNN take 16 bits alone
    CUDA, 16 bits             flash, efficient, math       flash: no mask, heads up to 256, capability from 8.0
    same, capability          cuDNN before these, for      published forward rates on an H100 (16k tokens) are
    9.0 or 10.0               heads of 64 to 128           1.27 of flash's at 64 and 1.61 at 128; none below 64
    other devices             PyTorch's own order          nothing is known of them

cuDNN is left out

* before PyTorch 2.11 and cuDNN 9.15.1; from these on PyTorch itself puts it first on these devices;
* for heads wider than 128 or not a multiple of 8;
* under `torch.use_deterministic_algorithms`;
* with a mask when the number of keys is 64 modulo 128: its backward pass then returns NaN for the queries if all
  scores of a row are below -88.7.

math is left out above `MOST_SCORES` scores, counted with at least `FEWEST_KEYS` keys: an error is better than exhausted
memory or a tenfold run time. Fused kernels need contiguous channels; other tensors are copied. The order is logged once
per device and head width.

Source: The fault: pytorch/pytorch#196678 (torch 2.11 to 2.13, cuDNN to 9.20). PyTorch's own order and limits:
aten/src/ATen/native/transformers/cuda/sdp_utils.cpp. Rates: Shah et al., FlashAttention-3 (arXiv:2407.08608).
"""

import logging
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from medsyn2.nn.machine import Machine, known_machine
from medsyn2.types import Bool, Float

log = logging.getLogger(__name__)

MOST_SCORES = 2**28
"""Largest score matrix for the plain kernel: 1 GiB in float32."""
FEWEST_KEYS = 1024
"""Keys that a score matrix is counted with at least: more than a text has, so that no text's length decides."""

_CUDNN, _FLASH = SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION
_EFFICIENT, _MATH = SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH
_HALF = (torch.bfloat16, torch.float16)
_CUDNN_TORCH, _CUDNN_VERSION = (2, 11), 91501
_CUDNN_CAPABILITIES = ((9, 0), (10, 0))


@dataclass(frozen=True)
class Call:
    """Properties of a call that the choice of kernels depends on."""

    head_width: int  # Channels of a head
    dtype: torch.dtype  # Of queries, keys and values
    masked: bool = False  # A mask is given
    half_tile: bool = False  # The number of keys is 64 modulo 128
    large: bool = False  # There are more than `MOST_SCORES` scores, counted with at least `FEWEST_KEYS` keys


@dataclass(frozen=True)
class Choice:
    """Kernels in order of preference."""

    # The first that accepts the call is used; None leaves the order to PyTorch
    kernels: tuple[SDPBackend, ...] | None
    reason: str  # Explanation for the log


def attend(
    query: Float[Tensor, "b heads n d"],
    key: Float[Tensor, "b heads m d"],
    value: Float[Tensor, "b heads m d"],
    mask: Bool[Tensor, "b 1 1 m"] | None = None,
) -> Float[Tensor, "b heads n d"]:
    """Return softmax(q k^T / sqrt(d)) v over the keys where `mask` is true, or over all.

    Raises:
        RuntimeError: From PyTorch, if no allowed kernel accepts the call.
    """
    num_keys, masked = key.shape[2], mask is not None
    # Branches instead of comparisons: with varying lengths torch.compile then needs one graph per branch only.
    half_tile = True if masked and num_keys % 128 == 64 else False  # noqa: SIM210
    large = True if query[..., 0].numel() * max(num_keys, FEWEST_KEYS) > MOST_SCORES else False  # noqa: SIM210
    kernels = _kernels(query.device, query.shape[-1], query.dtype, masked, half_tile, large)
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (query, key, value))
    if kernels is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    with sdpa_kernel(list(kernels), set_priority=True):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def choose(machine: Machine, call: Call) -> Choice:
    """Return the kernels for a call on a machine, by the table in the module's docstring."""
    math = () if call.large else (_MATH,)
    if machine.device_type == "cpu":
        return Choice((_FLASH, *math), "it has one fused kernel")
    if machine.device_type != "cuda":
        return Choice(None, "nothing is known of this device")
    if call.dtype == torch.float64:
        return Choice((_MATH,), "no fused kernel takes float64")
    if call.dtype not in _HALF:
        return Choice((_EFFICIENT, *math), "flash and cuDNN take 16 bits alone")
    takes_flash = machine.capability >= (8, 0) and call.head_width <= 256 and not call.masked
    others = (*((_FLASH,) if takes_flash else ()), _EFFICIENT, *math)
    against = _against_cudnn(machine, call)
    if against is None:
        return Choice((_CUDNN, *others), "cuDNN is ahead of flash by published rates")
    return Choice(others, f"no cuDNN: {against}")


def _against_cudnn(machine: Machine, call: Call) -> str | None:
    """Return the reason to leave cuDNN out, or None."""
    reasons = (
        (machine.capability not in _CUDNN_CAPABILITIES, "not ahead on this capability"),
        (machine.torch_version < _CUDNN_TORCH or machine.cudnn_version < _CUDNN_VERSION, "PyTorch or cuDNN is too old"),
        (machine.deterministic, "it is not deterministic"),
        (
            call.head_width % 8 != 0 or not 64 <= call.head_width <= 128,
            "heads are not 64 to 128 wide or do not divide by 8",
        ),
        (call.masked and call.half_tile, "its gradients can be NaN with a mask at this number of keys"),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _kernels(
    device: torch.device, head_width: int, dtype: torch.dtype, masked: bool, half_tile: bool, large: bool
) -> tuple[SDPBackend, ...] | None:
    """Choose the kernels and log the first choice; `torch.compile` calls this once per graph, as a constant."""
    machine = known_machine(device)
    _log_once(machine, head_width, dtype)
    return choose(machine, Call(head_width, dtype, masked, half_tile, large)).kernels


# Same effect as torch.compiler.assume_constant_result, without importing the compiler (one second per process).
_kernels._dynamo_marked_constant = True  # type: ignore[attr-defined]


@lru_cache
def _log_once(machine: Machine, head_width: int, dtype: torch.dtype) -> None:
    plain, masked = (choose(machine, Call(head_width, dtype, masked=masked)) for masked in (False, True))
    log.info(
        "attention on %s, %s, heads of %d, torch %d.%d, cuDNN %d: %s; with a mask: %s",
        *(machine.name, str(dtype).removeprefix("torch."), head_width, *machine.torch_version),
        machine.cudnn_version,
        _in_words(plain),
        _in_words(masked),
    )


def _in_words(choice: Choice) -> str:
    names = "PyTorch's order" if choice.kernels is None else ", ".join(each.name for each in choice.kernels)
    return f"{names} ({choice.reason})"
