import time

import numpy as np
import pytest

from medsyn2.evaluation.features.sizes import THUMBNAIL
from medsyn2.evaluation.memorisation.cost import SECONDS_PER_FLOP, evaluate_memorisation, sample_training
from medsyn2.planning.costs import Cost
from tests.unit.planned import WORK, planned_run


def cost(num_copies: int) -> Cost:
    """Return the estimate with so many cases decoded."""
    return evaluate_memorisation(planned_run(evaluate_memorisation={"num_copies": num_copies}))


def test_search_for_copies_decodes_its_controls() -> None:
    assert cost(1).flops > 0
    assert cost(2).flops == 2 * cost(1).flops
    assert cost(10**6).basis.startswith(f"{WORK.train_cases} cases decoded")


def test_every_volume_is_compared_with_every_training_volume() -> None:
    # Two held-out cases with a volume of a mask and one of a report each, both reconstructed, six copies, and five
    # training cases that are asked for with both.
    run = planned_run(sample={"structures": ["lobes"]}, evaluate_tokenizer={"max_cases": 2})
    assert evaluate_memorisation(run).basis == f"{WORK.train_cases} cases decoded, 24 volumes compared with 6"
    fewer = planned_run(sample={"structures": ["lobes"]}, evaluate_memorisation={"max_train": 3})
    assert evaluate_memorisation(fewer).cpu_s < evaluate_memorisation(run).cpu_s


def test_training_cases_are_asked_for_at_the_cost_of_a_volume_each() -> None:
    few, all_of_them = (
        sample_training(planned_run(sample={"structures": ["lobes"]}, evaluate_memorisation={"num_prompts": num}))
        for num in (1, 10**6)
    )
    assert few.flops > 0
    assert all_of_them.flops == WORK.train_cases * few.flops
    assert few.basis.startswith("2 volumes")


def test_the_search_grows_with_the_training_cases() -> None:
    few, many = (evaluate_memorisation(planned_run(evaluate_memorisation={"max_train": num})) for num in (2, 4))
    assert many.cpu_s > few.cpu_s > 6
    assert many.memory_bytes - few.memory_bytes >= 2 * 4 * THUMBNAIL**3


def test_distances_take_about_what_is_said() -> None:
    first, second = np.random.default_rng(0).standard_normal((2, 200, THUMBNAIL**3))
    begin = time.process_time()
    first @ second.T
    expected = 2 * 200 * 200 * THUMBNAIL**3 * SECONDS_PER_FLOP
    assert time.process_time() - begin == pytest.approx(expected, rel=9.0), "another order of magnitude"
