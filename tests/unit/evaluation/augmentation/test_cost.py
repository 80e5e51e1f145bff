import pytest

from medsyn2.evaluation.augmentation.cost import evaluate_augmentation
from tests.unit.planned import planned_run


def flops(**changes: object) -> float:
    """Return the operations of the study with some settings changed."""
    settings = {"max_synthetic": 4, "num_seeds": 5, **changes}
    return evaluate_augmentation(planned_run(evaluate_augmentation=settings)).flops


def test_study_costs_its_volumes_and_its_networks() -> None:
    networks = (flops(num_seeds=9) - flops()) / 4
    assert networks > 0
    assert flops(num_steps=60) - flops() == pytest.approx(5 * networks)
    volume = flops(max_synthetic=5) - flops()
    assert volume == pytest.approx((flops() - 5 * networks) / 4)
