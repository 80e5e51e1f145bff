"""The interval of a mean over patients."""

import numpy as np
import pytest

from medsyn2.metrics.bootstrap import mean_interval


def test_the_interval_is_that_of_the_mean_of_independent_patients() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, 400)
    low, high = mean_interval(values, np.arange(400), 2000, rng)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_more_slices_of_the_same_patients_say_no_more() -> None:
    values = np.random.default_rng(0).normal(size=50)
    once = mean_interval(values, np.arange(50), 500, np.random.default_rng(1))
    often = mean_interval(np.repeat(values, 7), np.repeat(np.arange(50), 7), 500, np.random.default_rng(1))
    assert often == pytest.approx(once)


def test_values_that_are_all_alike_have_no_width_and_one_draw_has_no_interval() -> None:
    same = np.full(5, 0.25)
    assert mean_interval(same, np.array([0, 1, 1, 2, 3]), 100, np.random.default_rng(0)) == (0.25, 0.25)
    assert np.isnan(mean_interval(same, np.arange(5), 1, np.random.default_rng(0))).all()
