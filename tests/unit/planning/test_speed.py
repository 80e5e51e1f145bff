"""What this machine has."""

import os

import torch

from medsyn2.planning.speed import measured, this_machine


def test_this_machine_is_described() -> None:
    machine = this_machine()
    assert 1 <= machine.cores <= (os.cpu_count() or 1)
    assert machine.memory_bytes > 1e8
    assert machine.name


def test_a_device_s_speed_is_possible() -> None:
    assert 1e8 < measured(torch.device("cpu")) < 1e14
