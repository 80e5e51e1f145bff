import pytest

from medsyn2.planning.costs import Cost
from medsyn2.planning.networks import network_costs

from .conftest import WORK, config


def test_volumes_are_segmented_again_with_their_real_ones_and_their_reconstructions() -> None:
    def basis(kept: int) -> str:
        changes = {
            "sample": {"structures": ["lobes", "nodules"]},
            "evaluate_masks": {"structures": ["lobes", "heart"]},
            "evaluate_tokenizer": {"max_cases": kept},
        }
        planned = network_costs(config(**changes), WORK)
        return next(cost.basis for cost in planned if cost.stage == "evaluate_masks")

    # The lobes of two held-out cases, real and generated, and those of the cases that were reconstructed.
    assert basis(1).startswith("at most 5 volumes")
    assert basis(9).startswith("at most 6 volumes")


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
