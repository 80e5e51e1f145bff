"""Operations and memory of a computation, predicted from its shapes.

The network runs on torch's fake tensors, which have shapes and types but no values, so that a 448 x 448 x 448 volume
through a network of a billion parameters takes seconds and no memory. Counted are

* floating-point operations of convolutions, products and attention, an addition and a multiplication each;
* the largest sum of live tensors in eager execution, including tensors that autograd keeps for the backward pass and
  excluding those that checkpointing drops.

Not counted are library workspaces (on the CPU, oneDNN's copies of a convolution's input and output can double a peak)
and the allocator's fragmentation. Attention is fused: no score matrix is counted.

torch counts the weight gradient of a grouped convolution as if it had no groups; here it costs as much as the forward
pass. Attention on the CPU, which torch's counter leaves out, is counted as on other devices.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count, shape_wrapper

from medsyn2.nn.compute_cost import ComputeCost


def simulation() -> AbstractContextManager[object]:
    """Return a reusable context in which tensors have no values; real tensors are read as if they had none.

    A network built inside can only be used inside the same context.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode  # imports sympy, half a second

    return FakeTensorMode(allow_non_fake_inputs=True)


@contextmanager
def enter_simulation() -> Iterator[None]:
    """Enter a `simulation`, or stay in the active one."""
    from torch._guards import detect_fake_mode

    with nullcontext() if detect_fake_mode() else simulation():
        yield


def cost_of(compute: Callable[[], object]) -> ComputeCost:
    """Measure the cost of `compute`; inside `enter_simulation` this takes no memory and little time."""
    counter = _Counter()
    with counter:
        compute()
    return ComputeCost(counter.flops, counter.peak)


class _Counter(TorchDispatchMode):
    """Count operations and live storages.

    torch's own FLOP counter is not used: its hooks keep tensors alive that checkpointing would release.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.live = self.peak = 0
        self.sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.prim.device.default:  # more than half of all calls
            return func(*args)
        kwargs = kwargs or {}
        formula = _FLOPS.get(func._overloadpacket)
        if formula is None and _is_composite(func):  # as any may be in inference mode
            with self:
                return func.decompose(*args, **kwargs)
        result = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        # Views and in-place operations return storages of their inputs, which are already counted or not ours.
        known = {_key(leaf) for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor) and _key(leaf) not in known:
                self._count(leaf)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        if key in self.sizes:
            return
        self.sizes[key] = storage.nbytes()
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.live -= self.sizes.pop(key)


@cache
def _is_composite(func: Any) -> bool:
    """Return whether an operation is made of others alone."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _convolution_backward(
    grad_out: tuple[int, ...], x: tuple[int, ...], weight: tuple[int, ...], *args: Any, **kwargs: Any
) -> int:
    """Count the gradients of input and weight, each as much as the forward pass."""
    *_, transposed, _, _, wanted = args
    del kwargs
    places = x if transposed else grad_out
    forward = 2 * places[0] * prod(places[2:]) * prod(weight)
    return forward * (bool(wanted[0]) + bool(wanted[1]))


_FLOPS: dict[Any, Any] = {
    **flop_registry,
    torch.ops.aten.convolution_backward: shape_wrapper(_convolution_backward),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: shape_wrapper(
        lambda query, key, value, *args, **kwargs: sdpa_flop_count(query, key, value)
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: shape_wrapper(
        lambda grad, query, key, value, *args, **kwargs: sdpa_backward_flop_count(grad, query, key, value)
    ),
}
