import pytest

from medsyn2.planning.costs import Cost
from medsyn2.planning.networks import network_costs
from medsyn2.planning.workload import Workload

from .conftest import WORK, config


def test_volumes_are_segmented_again_with_their_real_ones_and_their_reconstructions() -> None:
    def basis(kept: int, asked: list[str] | None) -> str:
        changes = {
            "sample": {"structures": ["lobes", "nodules"]},
            "evaluate_masks": {"structures": asked},
            "evaluate_tokenizer": {"max_cases": kept},
        }
        planned = network_costs(config(**changes), WORK)
        return next(cost.basis for cost in planned if cost.stage == "evaluate_masks")

    # The lobes of two held-out cases, real and generated, and those of the cases that were reconstructed.
    assert basis(1, ["lobes", "heart"]).startswith("at most 5 volumes")
    assert basis(9, ["lobes", "heart"]).startswith("at most 6 volumes")
    assert basis(9, None).startswith("at most 12 volumes")


def test_the_search_for_copies_decodes_its_controls() -> None:
    def cost(kept: int) -> Cost:
        planned = network_costs(config(evaluate_memorisation={"num_copies": kept}), WORK)
        return next(cost for cost in planned if cost.stage == "evaluate_memorisation")

    assert cost(1).flops > 0
    assert cost(2).flops == 2 * cost(1).flops
    assert cost(10**6).basis.startswith(f"{WORK.train_cases} cases decoded")


def test_the_augmentation_study_costs_its_volumes_and_its_networks() -> None:
    def flops(**changes: object) -> float:
        settings = {"max_synthetic": 4, "num_seeds": 5, **changes}
        planned = network_costs(config(evaluate_augmentation=settings), WORK)
        return next(cost.flops for cost in planned if cost.stage == "evaluate_augmentation")

    networks = (flops(num_seeds=9) - flops()) / 4
    assert networks > 0
    assert flops(num_steps=60) - flops() == pytest.approx(5 * networks)
    volume = flops(max_synthetic=5) - flops()
    assert volume == pytest.approx((flops() - 5 * networks) / 4)


def fid(work: Workload = WORK, **changes: object) -> Cost:
    planned = network_costs(config(evaluate_fid=changes), work)
    return next(cost for cost in planned if cost.stage == "evaluate_fid")


def test_features_cost_what_goes_through_the_extractor_and_the_distances() -> None:
    few, more = fid(slices_per_volume=4), fid(slices_per_volume=8)
    assert more.flops == pytest.approx(2 * few.flops)
    assert more.disk_bytes == 2 * few.disk_bytes
    assert few.cpu_s is not None
    assert few.basis.startswith("at most 288 slices")  # 6 volumes of 12 slices in four windows
    assert fid(slices_per_volume=4, num_draws=0).cpu_s < few.cpu_s
    assert fid(slices_per_volume=4, radimagenet="weights").flops > 10 * few.flops


def test_banks_of_a_large_cohort_are_counted_in_memory() -> None:
    many = Workload(6256, 1564, 10, 1e6, 50, 16 * 32 * 32)
    small, large = (fid(work, radimagenet="weights", slices_per_volume=None) for work in (WORK, many))
    one_window = 2 * 1564 * (16 + 32 + 32) * 2048 * 4
    assert one_window < large.memory_bytes - small.memory_bytes < 4 * one_window
