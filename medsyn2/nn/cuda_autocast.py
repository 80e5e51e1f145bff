"""The types of CUDA's autocast, for computations on CPU tensors.

Autocast has other lists of operations on CUDA than on CPUs: on CUDA layer normalisations and interpolations take and
return float32, on CPUs most have the type of their input; and the tokenizer has its own group normalisation. Memory is
predicted on CPU tensors without values, because autograd refuses those of a device that PyTorch was built without.
Inside a `CudaAutocast`, operations of the networks that the lists treat differently get CUDA's types whenever the CPU's
autocast is on. Without gradients PyTorch does run tensors without values as if they were on CUDA; the tests compare the
networks' types and memory with these.

Source: PyTorch's list of operations (aten/src/ATen/autocast_mode.h).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from medsyn2.nn.autoencoder.blocks import NORMALISATIONS

IN_FLOAT32 = frozenset({F.layer_norm, F.interpolate})
"""Operations of the networks that CUDA's autocast computes in float32 and the CPU's does not."""

IN_TYPE_OF_INPUT = frozenset({F.avg_pool3d})
"""Operations that the CPU's autocast computes in float32 and CUDA's leaves alone."""


class CudaAutocast(TorchFunctionMode):
    """Give operations under the CPU's autocast the types that they have under CUDA's."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        if func is F.group_norm:
            return NORMALISATIONS["cuda"](*args, **kwargs)
        if func not in IN_FLOAT32 | IN_TYPE_OF_INPUT:
            return func(*args, **kwargs)
        if func in IN_FLOAT32:
            args, kwargs = tree_map(_widen, (args, kwargs))
        with torch.autocast("cpu", enabled=False):
            return func(*args, **kwargs)


def _widen(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value
