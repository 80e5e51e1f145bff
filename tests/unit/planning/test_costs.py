"""Costs add and scale, and what is unknown stays so; one of the constants is measured again."""

import time

import numpy as np
import pytest

from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.planning.costs import PHANTOM_S_PER_MVOXEL, Cost, Speed, add_known


def test_twice_the_work_is_twice_the_time_and_disk_and_no_more_memory() -> None:
    cost = Cost("segment", 3, 10.0, 5.0, 7.0, 8.0, 9.0, bf16_flops=2.0).times(2)
    assert cost.bf16_flops == 4.0
    assert (cost.jobs, cost.cpu_s, cost.flops, cost.disk_bytes) == (3, 20.0, 10.0, 18.0)
    assert (cost.memory_bytes, cost.device_bytes) == (7.0, 8.0)


def test_what_nobody_measured_stays_unknown() -> None:
    assert add_known(1.0, 2.0) == 3.0
    assert add_known(1.0, None) is None
    assert Cost("segment", 1, None).times(3).cpu_s is None


def test_the_phantoms_take_about_what_is_said() -> None:
    begin = time.process_time()
    subject = draw_subject(0, 3)
    phantom = scan(subject, draw_acquisition(subject, 4.0))
    seconds = time.process_time() - begin
    expected = PHANTOM_S_PER_MVOXEL * np.prod(phantom.volume.shape) / 1e6
    assert seconds == pytest.approx(expected, rel=9.0), "another order of magnitude"


def test_each_operation_is_priced_in_its_precision() -> None:
    cost = Cost("sample", 1, flops=30.0, bf16_flops=20.0)
    assert cost.network_s(Speed(float32=2.0, bf16=10.0)) == 10 / 2 + 20 / 10
