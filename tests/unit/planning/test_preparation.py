"""Stages that work on voxels."""

import pytest

from medsyn2.config import validate_config
from medsyn2.planning.preparation import preparation_costs, segmenting
from medsyn2.planning.workload import Workload

NATIVE, GRID = 512 * 512 * 133, 448**3
ONE = Workload(1, 0, 1, NATIVE, 133, GRID)
PAPER_GRID = {"grid": {"shape": [448, 448, 448], "spacing_mm": [0.7, 0.7, 0.7]}, "cohort": {"data_dir": "."}}


def costs(work: Workload, **sections: object) -> dict[str, tuple[float | None, float]]:
    config = validate_config({**PAPER_GRID, **sections}, source="test")
    return {cost.stage: (cost.cpu_s, cost.memory_bytes) for cost in preparation_costs(config, work)}


def test_the_benchmark_s_own_case_gives_its_figures() -> None:
    """The README's row of `benchmarks/paper_grid.py`: 0.9, 14, 10, 4 and 44 CPU s beside the start, 2.1 GB."""
    found = costs(ONE)
    expected = {"inventory": 0.9, "template": 14, "register": 10, "segment": 4, "masks": 44}
    assert set(found) == set(expected)
    for stage, seconds in expected.items():
        assert found[stage][0] == pytest.approx(seconds + 6.0, rel=0.01), stage
    assert max(memory for _, memory in found.values()) == pytest.approx(2.1e9, rel=0.01)


def test_ten_times_the_cases_take_ten_times_as_long_beside_the_start() -> None:
    ten = Workload(10, 0, 1, NATIVE, 133, GRID)
    for stage in ("inventory", "register", "masks"):
        one, many = costs(ONE)[stage][0], costs(ten)[stage][0]
        assert many - 6.0 == pytest.approx(10 * (one - 6.0))


def test_half_the_working_spacing_is_eight_times_the_work() -> None:
    fine = costs(ONE, segment={"working_spacing_mm": 1.5})["segment"][0]
    assert fine - 6.0 == pytest.approx(8 * 4.0)


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
