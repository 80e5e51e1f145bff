"""The Triton kernels agree with PyTorch's convolution: on the CPU in Triton's interpreter, on a GPU compiled.

Both run in a process of their own: Triton reads ``TRITON_INTERPRET`` when it is imported, and the tests' checks of
types at run time would change the source that it compiles.
"""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")

CHECK = """
import sys

import torch

from medsyn2.nn.transformer.depthwise import convolve, run_triton

device = sys.argv[1]
torch.backends.cudnn.allow_tf32 = False


def arguments(grid, width, dtype):
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, *grid, width), (width, 1, 3, 3, 3), (width,), (2, *grid, width))
    return [torch.randn(shape, generator=generator).to(device, dtype).requires_grad_() for shape in shapes]


def gradients(implementation, *inputs, upstream):
    output = implementation(*inputs)
    return output, *torch.autograd.grad(output, inputs, upstream)


# Compiled, which here also imports the kernels.
*inputs, upstream = arguments((2, 1, 2), 16, torch.float32)
compiled = torch.compile(run_triton, backend="aot_eager", fullgraph=True)
for one, expected in zip(*(gradients(f, *inputs, upstream=upstream) for f in (compiled, convolve)), strict=True):
    torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)

from medsyn2.nn.transformer import depthwise_triton

depthwise_triton.TILES = 4  # so that several programs share the gradient's sums

# Tiles of rows and of channels, whole and cut; an axis of length 1.
for grid, width, dtype, tolerance in (
    ((3, 1, 5), 80, torch.float32, 1e-4),
    ((4, 6, 7), 16, torch.float32, 1e-4),
    ((4, 6, 7), 16, torch.bfloat16, 2**-7),
):
    *inputs, upstream = arguments(grid, width, dtype)
    exact = [each.detach().double().requires_grad_() for each in inputs]
    found = gradients(run_triton, *inputs, upstream=upstream)
    for one, expected in zip(found, gradients(convolve, *exact, upstream=upstream.double()), strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one.double(), expected, rtol=tolerance, atol=1e-4)
for one, other in zip(found, gradients(run_triton, *inputs, upstream=upstream), strict=True):
    assert torch.equal(one, other)

# Shapes and types without values are those of the kernels.
*inputs, upstream = arguments((2, 1, 2), 16, torch.float32)
torch.library.opcheck(depthwise_triton.correlate, tuple(inputs), test_utils="test_faketensor")
torch.library.opcheck(depthwise_triton.weight_gradient, (upstream, inputs[0]), test_utils="test_faketensor")
"""


COMPILE = """
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from medsyn2.nn.transformer import depthwise_triton as kernels

target = GPUTarget("cuda", int(sys.argv[1]), 32)
sizes = dict.fromkeys(("num_rows", "depth", "height", "width", "num_channels"), "i32")
tile = {"CHANNELS": kernels.CHANNELS}
for kernel, pointers, numbers, constants, warps in (
    (
        kernels._correlate_kernel,
        {"x": "*bf16", "taps": "*fp32", "bias": "*bf16", "y": "*bf16"},
        sizes,
        {"ROWS": kernels.ROWS, **tile},
        kernels.WARPS,
    ),
    (
        kernels._gradient_kernel,
        {"gradient": "*bf16", "x": "*bf16", "sums": "*fp32"},
        {**sizes, "num_tiles": "i32"},
        {"ROWS": kernels.GRADIENT_ROWS, **tile},
        4,
    ),
):
    signature = {**pointers, **numbers, **dict.fromkeys(constants, "constexpr")}
    aligned = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in (*pointers, "num_channels")}
    source = ASTSource(kernel, signature, constants, aligned)
    made = triton.compile(source, target=target, options={"num_warps": warps})
    assert made.asm["cubin"]
    assert ".v4" in made.asm["ptx"], "tokens are read 16 bytes at a time"
"""


def check(device: str, script: str = CHECK, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, device],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_interpreted_kernels_agree_with_the_convolution() -> None:
    check("cpu", TRITON_INTERPRET="1")


@pytest.mark.parametrize("capability", ["90", "100"])
def test_kernels_compile_for_the_devices_that_they_are_chosen_on(capability: str) -> None:
    """Without such a device: Triton brings the assembler."""
    check(capability, COMPILE)


@pytest.mark.gpu
def test_compiled_kernels_agree_with_the_convolution() -> None:
    check("cuda")
