"""The space of the scores costs what its matrices do."""

import time

import numpy as np
import pytest

from medsyn2.evaluation.text.cost import SECONDS_PER_CUBED_CASE, evaluate_scores
from medsyn2.planning.workload import Shards, Workload
from tests.unit.planned import planned_run


def test_the_time_of_a_foreign_model_is_unknown() -> None:
    foreign = evaluate_scores(planned_run(evaluate_scores={"command": ["embed", "--fast"]}))
    assert foreign.cpu_s is None
    assert foreign.basis == "the cost of embed is not known"


def test_the_space_grows_with_the_cases_that_it_is_fitted_to() -> None:
    large = Workload(Shards((20_000,)), Shards((100,)), 1e6, 50, 16 * 32 * 32)
    whole, part = (evaluate_scores(planned_run(large, evaluate_scores={"max_train": num})) for num in (None, 5000))
    assert whole.memory_bytes - part.memory_bytes > 8 * (20_000**2 - 5000**2)
    assert whole.cpu_s > 8 * part.cpu_s


def test_eigenvectors_take_about_what_is_said() -> None:
    rows = np.random.default_rng(0).standard_normal((400, 400))
    begin = time.process_time()
    np.linalg.eigh(rows @ rows.T)
    assert time.process_time() - begin == pytest.approx(400**3 * SECONDS_PER_CUBED_CASE, rel=9.0), "another order"
