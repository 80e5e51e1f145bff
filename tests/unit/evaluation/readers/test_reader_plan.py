"""The one test of a study: its formula, its size, and its power by simulation and by the textbook."""

import numpy as np
import pytest
from scipy import stats

from medsyn2.evaluation.readers.reader_plan import LEVEL, Cases, Plan, match_difference, power, wanted_multiple


def design(num: int, cases_of_a_patient: int = 1) -> Cases:
    """So many patients of each kind."""
    return Cases(np.repeat([False, True], num * cases_of_a_patient), np.arange(2 * num).repeat(cases_of_a_patient))


def test_the_difference_is_of_means_over_readers() -> None:
    matches = np.array([[1, 1, 0, 0, 1, 0], [1, 0, 0, 1, 1, 1]], float)
    found = match_difference(matches, design(3))
    assert found.value == pytest.approx(4 / 6 - 3 / 6)
    assert found.low < found.value < found.high


def test_the_interval_is_that_of_the_score_test() -> None:
    # Newcombe 1998, example (a), method 5 of Mee: 56 of 70 less 48 of 80; t and half a case make it a little wider.
    cases = Cases(np.repeat([True, False], [70, 80]), np.arange(150))
    matches = np.concatenate([np.arange(70) < 56, np.arange(80) < 48])[None].astype(float)
    found = match_difference(matches, cases)
    wider = 1 / 140 + 0.002
    assert 0.0533 - wider < found.low < 0.0533
    assert 0.3377 < found.high < 0.3377 + wider


def test_cases_of_one_patient_say_no_more_and_readers_who_agree_on_all_leave_an_error() -> None:
    rng = np.random.default_rng(0)
    matches = (rng.random((2, 40)) < 0.7).astype(float)
    once, twice = match_difference(matches, design(20)), match_difference(matches.repeat(3, axis=1), design(20, 3))
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.1)
    assert match_difference(np.ones((2, 40)), design(20)).low < -0.05
    pairs = Cases(np.repeat([False, True], 20), np.tile(np.arange(20), 2))
    alike = np.tile(matches[:, :20], 2)
    assert match_difference(alike, pairs).low > 2 * match_difference(alike, design(20)).low / 3


def test_the_word_follows_from_the_margin_and_from_what_is_unread() -> None:
    plan = Plan("report", 0.15)
    assert plan.verdict(-0.14, 0) == "non-inferior"
    assert plan.verdict(-0.15, 0) == "non-inferiority not shown"
    assert plan.verdict(0.2, 2) == "no verdict: 2 cases are unread"


def test_power_is_that_of_the_normal_approximation_and_grows_with_cases_and_readers() -> None:
    rate, margin = 0.75, 0.15
    error = np.sqrt(2 * rate * (1 - rate) / 150)
    expected = stats.norm.cdf(margin / error - stats.norm.ppf(1 - LEVEL))
    assert power(design(150), 1, margin, rate, runs=400) == pytest.approx(expected, abs=0.06)
    assert power(design(150), 3, margin, rate, runs=400) > expected + 0.05
    assert power(design(15), 1, margin, rate, runs=400) < 0.3


def test_the_wanted_number_of_cases_has_the_wanted_power() -> None:
    multiple = wanted_multiple(design(20), 2, 0.15, 0.75)
    assert multiple in {4, 8}
    many = design(20).times(multiple)
    assert (many.num_patients, len(many.synthetic)) == (40 * multiple, 40 * multiple)
    assert power(many, 2, 0.15, 0.75, runs=200) >= 0.8
    assert wanted_multiple(design(5), 1, 0.01, 0.6) is None


@pytest.mark.parametrize("rate", [0.5, 0.75, 0.95, 1.0])
@pytest.mark.parametrize("num", [5, 15])
def test_the_exact_chance_of_a_wrong_verdict_is_below_its_level(num: int, rate: float) -> None:
    """All tables of one reader's counts, weighted by their chance where the true loss is the margin."""
    margin = 0.15
    chances = np.outer(*(stats.binom.pmf(np.arange(num + 1), num, p) for p in (rate, rate - margin)))
    size = 0.0
    for real, synthetic in np.ndindex(num + 1, num + 1):
        matches = np.concatenate([np.arange(num) < real, np.arange(num) < synthetic])[None].astype(float)
        size += chances[real, synthetic] * (match_difference(matches, design(num)).low > -margin)
    assert size <= LEVEL
