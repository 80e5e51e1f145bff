import pytest

from medsyn2.evaluation.fidelity.cost import evaluate_fid
from medsyn2.planning.costs import Cost
from medsyn2.planning.workload import Shards, Workload
from tests.unit.planned import WORK, planned_run


def fid(work: Workload = WORK, **changes: object) -> Cost:
    """Return the estimate with some keys of the section changed."""
    return evaluate_fid(planned_run(work, evaluate_fid=changes))


@pytest.mark.parametrize(
    ("change", "slices"),
    [({"protocol": "vlm3d"}, 960), ({"baselines": {"Other": {"folder": "theirs"}}}, 768)],
    ids=["a few volumes of each set", "another generator"],
)
def test_features_cost_what_goes_through_the_extractor_here_and_the_distances(change: dict, slices: int) -> None:
    few, more = fid(slices_per_volume=4, **change), fid(slices_per_volume=8, **change)
    assert more.flops == pytest.approx(2 * few.flops)
    assert more.disk_bytes == 2 * few.disk_bytes
    assert few.cpu_s is not None
    assert few.basis.startswith(
        f"at most {slices} slices"
    )  # 6 or 2 volumes, and 2 with faults, of 12 slices in four windows
    assert fid(slices_per_volume=4, num_draws=0, **change).cpu_s < few.cpu_s
    assert fid(slices_per_volume=4, radimagenet="weights", **change).flops > 10 * few.flops


def test_of_features_that_are_extracted_shard_by_shard_only_those_with_faults_cost_something_here() -> None:
    assert fid(radimagenet="weights").basis.startswith(
        "at most 2,016 slices"
    )  # 2 volumes, 7 times, 36 slices, 4 windows


def test_banks_of_a_large_cohort_are_counted_in_memory() -> None:
    many = Workload(Shards((4692,)), Shards((1564,)), 1e6, 50, 16 * 32 * 32)
    small, large = (fid(work, radimagenet="weights", slices_per_volume=None) for work in (WORK, many))
    one_window = 2 * 1564 * (16 + 32 + 32) * 2048 * 4
    assert one_window < large.memory_bytes - small.memory_bytes < 4 * one_window
