"""The precision of trained networks: chosen for described machines, and in effect inside its context."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from medsyn2.errors import ConfigError
from medsyn2.nn import precision
from medsyn2.nn.machine import Machine
from medsyn2.nn.precision import arithmetic, choose_precision, precision_on

CPU = torch.device("cpu")
HOPPER = Machine("cuda", (2, 13), (9, 0), 92000, name="Hopper")
TURING = replace(HOPPER, capability=(7, 5), name="Turing")
ON_CPU = Machine("cpu", (2, 13), name="cpu")


@pytest.mark.parametrize(
    ("setting", "machine", "expected"),
    [
        ("auto", HOPPER, "bf16"),
        ("auto", replace(HOPPER, capability=(8, 0)), "bf16"),
        ("auto", TURING, "float32"),
        ("auto", ON_CPU, "float32"),
        ("auto", Machine("mps", (2, 13)), "float32"),
        ("float32", HOPPER, "float32"),
        ("bf16", HOPPER, "bf16"),
        ("bf16", ON_CPU, "bf16"),
    ],
)
def test_described_machines(setting, machine, expected) -> None:
    assert choose_precision(setting, machine) == expected


def test_bfloat16_that_a_gpu_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"precision-unsupported.*Turing"):
        choose_precision("bf16", TURING)


def test_another_name_is_no_precision() -> None:
    with pytest.raises(ConfigError, match=r"precision-unknown.*auto, bf16, float32.*'half'"):
        precision_on(CPU, "half")


def test_the_default_on_a_cpu_is_float32_and_is_logged_once(caplog) -> None:
    precision._log_once.cache_clear()
    with caplog.at_level("INFO", logger="medsyn2.nn.precision"):
        assert precision_on(CPU) == precision_on(CPU, "float32") == "float32"
    assert [record.getMessage() for record in caplog.records] == ["trained networks run on cpu in float32"]


def test_products_are_in_the_precision_of_their_context() -> None:
    x, weight = torch.randn(2, 3), torch.randn(4, 3)
    with arithmetic("float32", CPU):
        assert torch.equal(F.linear(x, weight), x @ weight.T)
    with arithmetic("bf16", CPU):
        half = F.linear(x, weight)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), x @ weight.T, rtol=2e-2, atol=2e-2)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("chosen", ["bf16", "float32"])
def test_float32_convolutions_on_cuda_are_ieee_inside_and_as_before_outside(chosen, monkeypatch) -> None:
    """PyTorch keeps the switch on any machine, so that it can be read here; autocast is another matter."""
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision
    with precision._ieee_convolutions(torch.device("cuda")):
        assert convolutions.fp32_precision == "ieee"
    assert convolutions.fp32_precision == before == "tf32"
    with pytest.raises(KeyError), precision._ieee_convolutions(torch.device("cuda")):
        raise KeyError
    assert convolutions.fp32_precision == before
    with arithmetic(chosen, CPU):
        assert convolutions.fp32_precision == before
