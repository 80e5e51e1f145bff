"""Stages that work on voxels."""

import pytest

from medsyn2.config import validate_config
from medsyn2.planning.preparation import inventory, masks, phantoms, register, segment, template
from medsyn2.planning.run import PlannedRun
from medsyn2.planning.workload import Shards, Workload

NATIVE, GRID = 512 * 512 * 133, 448**3
ONE = Workload(Shards((1,)), Shards((0,)), NATIVE, 133, GRID)
PAPER_GRID = {"grid": {"shape": [448, 448, 448], "spacing_mm": [0.7, 0.7, 0.7]}, "cohort": {"data_dir": "."}}


def costs(work: Workload, **sections: object) -> dict[str, tuple[float | None, float]]:
    run = PlannedRun(validate_config({**PAPER_GRID, **sections}, source="test"), work)
    found = (stage(run) for stage in (phantoms, inventory, template, register, segment, masks))
    return {cost.stage: (cost.cpu_s, cost.memory_bytes) for cost in found if cost.jobs}


def test_the_benchmark_s_own_case_gives_its_figures() -> None:
    """The README's row of `benchmarks/paper_grid.py`: 1.4, 14, 8.6, 4 and 11 CPU s beside the start, 2.1 GB."""
    found = costs(ONE)
    expected = {"inventory": 1.38, "template": 14, "register": 8.6, "segment": 4, "masks": 11}
    assert set(found) == set(expected)
    for stage, seconds in expected.items():
        assert found[stage][0] == pytest.approx(seconds + 6.0, rel=0.01), stage
    assert max(memory for _, memory in found.values()) == pytest.approx(2.1e9, rel=0.01)


def test_ten_times_the_cases_take_ten_times_as_long_beside_the_start() -> None:
    ten = Workload(Shards((10,)), Shards((0,)), NATIVE, 133, GRID)
    for stage in ("inventory", "register", "masks"):
        one, many = costs(ONE)[stage][0], costs(ten)[stage][0]
        assert many - 6.0 == pytest.approx(10 * (one - 6.0))


def test_half_the_working_spacing_is_eight_times_the_work() -> None:
    fine = costs(ONE, segment={"working_spacing_mm": 1.5})["segment"][0]
    assert fine - 6.0 == pytest.approx(8 * 4.0)


def test_phantoms_are_made_where_there_is_no_folder() -> None:
    found = costs(ONE, cohort={"data_dir": None})
    assert set(found) - set(costs(ONE)) == {"phantoms"}


def test_a_given_template_is_brought_to_the_grid_once() -> None:
    given = costs(ONE, template={"path": "template.nii.gz"})["template"][0]
    assert given < costs(ONE)["template"][0]


def test_the_largest_shard_is_the_longest_job() -> None:
    uneven = Workload(Shards((3, 0)), Shards((0, 1)), NATIVE, 133, GRID)
    for stage in (inventory, register, segment, masks):
        cost = stage(PlannedRun(validate_config(PAPER_GRID, source="test"), uneven))
        assert (cost.jobs, cost.largest) == (2, 0.75)
