import time

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from medsyn2.evaluation.memorisation.cost import SECONDS_PER_DIFFERENCE, evaluate_memorisation
from medsyn2.evaluation.memorisation.sizes import THUMBNAIL
from medsyn2.planning.costs import Cost
from tests.unit.planned import WORK, planned_run


def cost(num_copies: int) -> Cost:
    """Return the estimate with so many cases decoded."""
    return evaluate_memorisation(planned_run(evaluate_memorisation={"num_copies": num_copies}))


def test_search_for_copies_decodes_its_controls() -> None:
    assert cost(1).flops > 0
    assert cost(2).flops == 2 * cost(1).flops
    assert cost(10**6).basis.startswith(f"{WORK.train_cases} cases decoded")


def test_the_search_grows_with_the_training_cases() -> None:
    few, many = (evaluate_memorisation(planned_run(evaluate_memorisation={"max_train": num})) for num in (2, 4))
    assert many.cpu_s > few.cpu_s > 6
    assert many.memory_bytes - few.memory_bytes >= 2 * 4 * THUMBNAIL**3


def test_distances_take_about_what_is_said() -> None:
    first, second = np.random.default_rng(0).standard_normal((2, 50, THUMBNAIL**3)).astype(np.float32)
    begin = time.process_time()
    cdist(first, second)
    expected = 50 * 50 * THUMBNAIL**3 * SECONDS_PER_DIFFERENCE
    assert time.process_time() - begin == pytest.approx(expected, rel=9.0), "another order of magnitude"
