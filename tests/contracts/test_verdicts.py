"""No verdict comes out more often than its level says where there is nothing to find, and none is deaf."""

import pytest
from scipy import stats

from benchmarks.size import PATIENTS, VERDICTS, share

QUICK_RUNS = 12
RUNS = 600
PATIENCE = 0.001
"""Chance that a verdict of exactly its level fails a test."""


def most(level: float, runs: int) -> float:
    """The share that so many runs of a verdict of exactly this level reach once in a thousand times."""
    return float(stats.binom.isf(PATIENCE, runs, level)) / runs


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_tells_an_effect_from_none(name: str) -> None:
    null, found = share(name, 10, QUICK_RUNS, effect=False), share(name, 30, 4, effect=True)
    assert null <= most(VERDICTS[name].level, QUICK_RUNS)
    assert found >= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("num", PATIENTS)
@pytest.mark.parametrize("name", VERDICTS)
def test_the_size_of_a_verdict_is_at_most_its_level(name: str, num: int) -> None:
    assert share(name, num, RUNS, effect=False) <= most(VERDICTS[name].level, RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("name", VERDICTS)
def test_thirty_patients_show_the_effect(name: str) -> None:
    assert share(name, 30, 60, effect=True) >= 0.8
