"""The implementations of the depthwise convolution agree, and each machine has its own."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from medsyn2.nn.machine import Machine
from medsyn2.nn.transformer import depthwise
from medsyn2.nn.transformer.depthwise import IMPLEMENTATIONS, add_shifts, choose, convolve, convolve_depthwise

HOPPER = Machine("cuda", (2, 13), (9, 0), 92000, name="described", triton_version=(3, 7))
AMPERE = replace(HOPPER, capability=(8, 0))
GRIDS = [(4, 3, 2), (1, 1, 1), (5, 1, 3), (2, 6, 4)]


def arguments(grid, dtype=torch.float64, width=6):
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, *grid, width), (width, 1, 3, 3, 3), (width,))
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("implementation", [convolve, add_shifts])
def test_it_is_scipys_correlation_of_each_channel(implementation, grid):
    x, weight, bias = (each.detach() for each in arguments(grid))
    y = implementation(x, weight, bias)
    for sample in range(2):
        for channel in range(6):
            kernel = weight[channel, 0].numpy()
            expected = correlate(x[sample, ..., channel].numpy(), kernel, mode="constant") + bias[channel].item()
            np.testing.assert_allclose(y[sample, ..., channel].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_implementations_agree_with_their_gradients(grid, dtype, tolerance):
    inputs = arguments(grid, dtype)
    outputs = [implementation(*inputs) for implementation in (convolve, add_shifts)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=tolerance)
    gradients = [torch.autograd.grad(output.square().sum(), inputs) for output in outputs]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=tolerance, atol=tolerance)


def test_shifts_are_added_in_float32():
    """A sum of 27 terms in bfloat16 would be off by several of its steps."""
    inputs = [each.detach() for each in arguments((6, 6, 6), torch.bfloat16)]
    exact = convolve(*(each.double() for each in inputs))
    torch.testing.assert_close(add_shifts(*inputs), exact.bfloat16(), rtol=2**-8, atol=1e-6)


def test_autocast_decides_the_type_as_it_does_for_convolutions():
    inputs = arguments((4, 3, 2), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert convolve_depthwise(*inputs).dtype == convolve(*inputs).dtype == torch.bfloat16
    assert convolve_depthwise(*inputs).dtype == torch.float32


@pytest.mark.parametrize(
    ("machine", "width", "dtype", "compiled", "expected"),
    [
        (Machine("cpu", (2, 13)), 1152, torch.float32, False, "convolution"),
        (Machine("cpu", (2, 13)), 1152, torch.float32, True, "convolution"),
        (Machine("mps", (2, 13)), 1152, torch.float32, False, "convolution"),
        (HOPPER, 1152, torch.bfloat16, False, "triton"),
        (HOPPER, 1152, torch.bfloat16, True, "triton"),
        (HOPPER, 1152, torch.float32, False, "triton"),
        (HOPPER, 1152, torch.float64, False, "convolution"),
        (HOPPER, 1140, torch.bfloat16, False, "convolution"),
        (replace(HOPPER, triton_version=(0, 0)), 1152, torch.bfloat16, False, "convolution"),
        (replace(HOPPER, triton_version=(3, 5)), 1152, torch.bfloat16, True, "shifts"),
        (AMPERE, 1152, torch.bfloat16, False, "convolution"),
        (AMPERE, 1152, torch.bfloat16, True, "shifts"),
    ],
)
def test_the_implementation_of_described_devices(machine, width, dtype, compiled, expected):
    assert choose(machine, width, dtype, compiled).name == expected


def test_a_choice_says_why():
    assert "absent" in choose(replace(HOPPER, triton_version=(0, 0)), 1152, torch.bfloat16, True).reason
    assert "other capabilities" in choose(AMPERE, 1152, torch.bfloat16, False).reason


def test_each_width_is_logged_once(caplog):
    depthwise._log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="medsyn2.nn.transformer.depthwise"):
        for width in (6, 12, 6, 12):
            convolve_depthwise(*arguments((2, 2, 2), torch.float32, width))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(" channels")[0].split()[-1] for line in lines] == ["6", "12"]
    assert "convolution (oneDNN has a kernel for it)" in lines[0]


def test_all_implementations_have_a_name():
    assert list(IMPLEMENTATIONS) == ["convolution", "shifts", "triton"]
