import torch

from medsyn2.nn.machine import known_machine, machine_of


def test_a_cpu_is_described_by_its_type_and_torch() -> None:
    machine = machine_of(torch.device("cpu"))
    assert machine.device_type == machine.name == "cpu"
    assert ".".join(map(str, machine.torch_version)) == ".".join(torch.__version__.split(".")[:2])
    assert machine.capability == machine.triton_version == (0, 0)


def test_a_machine_is_described_once() -> None:
    assert known_machine(torch.device("cpu")) is known_machine(torch.device("cpu"))
    assert known_machine(torch.device("cpu")) == machine_of(torch.device("cpu"))
