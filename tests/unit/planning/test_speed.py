"""What this machine has."""

import os

import torch

from medsyn2.planning.speed import measure, this_machine


def test_this_machine_is_described() -> None:
    machine = this_machine()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.memory_bytes > 1e8
    assert machine.name
    assert machine.speed.bf16 > 0
    assert machine.has_bf16 or machine.speed.bf16 == machine.speed.float32


def test_a_device_s_speed_is_possible() -> None:
    assert 1e8 < measure(torch.device("cpu"), torch.float32) < 1e14
