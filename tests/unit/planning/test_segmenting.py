"""Segmenting costs what somebody measured of the chosen tools."""

import pytest

from medsyn2.config import validate_config
from medsyn2.planning.segmenting import segmenting
from medsyn2.planning.workload import Shards, Workload

ONE = Workload(Shards((1,)), Shards((0,)), 512 * 512 * 133, 133, 448**3)


@pytest.mark.parametrize(
    ("tools", "device", "known"),
    [
        ({"lobes": "lungmask"}, "cpu", True),
        ({"heart": "totalsegmentator", "nodules": "totalsegmentator"}, "auto", True),
        ({"heart": "totalsegmentator"}, "cpu", False),
        ({"ground_glass": "medpseg"}, "auto", False),
        ({"heart": "files"}, "auto", True),
    ],
)
def test_tools_cost_what_somebody_measured_or_are_unknown(tools, device: str, known: bool) -> None:
    values = {"tools": tools, "device": device, "mask_files": "{case}/{structure}"}
    cost = segmenting(validate_config({"segment": values}, source="test"), ONE)
    assert (cost.cpu_s is not None) == known
    assert cost.memory_bytes > 0.4e9


def test_lungmask_on_a_cpu_goes_by_slices() -> None:
    config = validate_config({"segment": {"tools": {"lobes": "lungmask"}, "device": "cpu"}}, source="test")
    assert segmenting(config, ONE).cpu_s == pytest.approx(6.0 + 3.0 * 133)
