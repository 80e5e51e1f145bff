"""Types under CUDA's autocast: those that reach attention, and those that the prediction of memory assumes.

The networks run on tensors without values that PyTorch takes for a GPU's, under its own lists of operations. Without
gradients that works in builds for CPUs too, but for three operations that ask the device itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from medsyn2.nn import attention
from medsyn2.nn.attention import Call, choose
from medsyn2.nn.autoencoder import blocks
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.cost import cost_of, enter_simulation
from medsyn2.nn.cuda_autocast import CudaAutocast
from medsyn2.nn.machine import Machine
from medsyn2.nn.precision import arithmetic
from medsyn2.nn.transformer import depthwise, dit_official, layers
from medsyn2.nn.transformer.dit import DiT

HOPPER = Machine("cuda", (2, 13), (9, 0), 92000, name="described")
SMALL = {"latent_channels": 4, "text_width": 64, "width": 144, "depth": 2, "num_heads": 2, "patch": (2, 2, 2)}
VARIANTS = {
    "paper": {},
    "recommended": {"qk_norm": True},
    "official": {"layout": "official"},
    "official, normalised": {"layout": "official", "qk_norm": True},
    "rotated": {"positions": "both", "qk_norm": True},
}


class OnNoDevice(TorchFunctionMode):
    """Write indexing, `contiguous` and `lerp`, which ask the device itself, as operations that do not."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func == Tensor.contiguous and args[0].device.type == "cuda":
            return args[0].clone(memory_format=torch.contiguous_format)
        if func == torch.lerp and args[0].device.type == "cuda":
            assert len({each.dtype for each in args}) == 1, "refused by the kernel"
            return torch.empty_like(args[0])
        if func == Tensor.__getitem__ and args[0].device.type == "cuda":
            return self.index(*args)
        return func(*args, **(kwargs or {}))

    @staticmethod
    def index(x: Tensor, parts: object) -> Tensor:
        parts, axis = parts if isinstance(parts, tuple) else (parts,), 0
        for place, part in enumerate(parts):
            if part is Ellipsis:
                axis = x.ndim - sum(rest is not None for rest in parts[place + 1 :])
            elif part is None:
                x, axis = x.unsqueeze(axis), axis + 1
            elif isinstance(part, int):
                x = x.select(axis, part)
            else:
                start, stop, _ = part.indices(x.shape[axis])
                x, axis = x.narrow(axis, start, stop - start), axis + 1
        return x


@contextmanager
def on_cuda() -> Iterator[torch.device]:
    """Enter PyTorch's autocast for CUDA, which its own context refuses where there is none."""
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_cache_enabled(False)
    try:
        with OnNoDevice():
            yield torch.device("cuda")
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_cache_enabled(cached)


@contextmanager
def as_predicted() -> Iterator[torch.device]:
    """Enter the CPU's autocast with CUDA's types."""
    device = torch.device("cpu")
    with CudaAutocast(), arithmetic("bf16", device):
        yield device


@pytest.fixture
def reached(monkeypatch) -> set[torch.dtype]:
    """Types of queries, keys and values; one fused kernel stands for all, as its result has the same type and size."""
    types: set[torch.dtype] = set()

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        types.update((query.dtype, key.dtype, value.dtype))
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]

    for module in (layers, dit_official, blocks):
        monkeypatch.setattr(module, "attend", attend)
    monkeypatch.setattr(depthwise, "known_machine", lambda device: HOPPER)  # without Triton: a convolution
    return types


def move_to(network: nn.Module, device: torch.device) -> nn.Module:
    for module in network.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                empty = torch.empty(parameter.shape, device=device)
                module._parameters[name] = nn.Parameter(empty, requires_grad=False)
    return network


def run_dit(variant: str, device: torch.device) -> tuple[Tensor, int]:
    network = move_to(DiT(**{**SMALL, **VARIANTS[variant]}), device)
    latents, text = torch.empty(1, 4, 8, 8, 8, device=device), torch.empty(1, 50, 64, device=device)
    results: list[Tensor] = []
    cost = cost_of(lambda: results.append(network(latents, torch.empty(1, device=device), latents, text)))
    return results[0], cost.peak_bytes


@pytest.mark.parametrize("variant", VARIANTS)
def test_attention_gets_bfloat16_and_the_output_is_float32(variant, reached) -> None:
    with enter_simulation(), torch.no_grad(), on_cuda() as device:
        output, _ = run_dit(variant, device)
    assert reached == {torch.bfloat16}
    assert output.dtype == torch.float32
    assert attention.SDPBackend.CUDNN_ATTENTION in choose(HOPPER, Call(96, *reached)).kernels


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_transformer_takes_the_predicted_memory(variant, reached) -> None:
    with enter_simulation(), torch.no_grad():
        with on_cuda() as device:
            real = run_dit(variant, device)[1]
        with as_predicted() as device:
            assert run_dit(variant, device)[1] == real


@pytest.mark.parametrize("layout", ["v1.2", "v1.1", "official", "subvoxel"])
def test_the_tokenizer_takes_the_predicted_memory_and_returns_float32(layout, reached) -> None:
    def run(device: torch.device) -> list[tuple[int, torch.dtype]]:
        network = CausalVideoVAE(8, num_res_blocks=1, norm_groups=4, layout=layout, depth_mode="uniform_paper")
        move_to(network, device)
        ct, latents = torch.empty(1, 1, 16, 32, 32, device=device), torch.empty(1, 4, 4, 4, 4, device=device)
        types = [network.moments(ct).dtype, network.decode(latents).dtype]
        costs = [cost_of(lambda: network.moments(ct)), cost_of(lambda: network.decode(latents))]
        return list(zip([cost.peak_bytes for cost in costs], types, strict=True))

    with enter_simulation(), torch.no_grad():
        with on_cuda() as device:
            real = run(device)
        with as_predicted() as device:
            assert run(device) == real
    assert {dtype for _, dtype in real} == {torch.float32}
    assert reached == {torch.bfloat16}
