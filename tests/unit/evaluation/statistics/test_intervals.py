"""Intervals over patients: those of textbooks where there are some, and as wide as values of others would make them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.coverage import DISTRIBUTIONS, KINDS, OTHERS, PATIENTS, coverage
from medsyn2.evaluation.statistics.intervals import (
    interval,
    jackknife,
    mean_influence,
    mean_interval,
    ratio_interval,
    share_interval,
    training_interval,
)

FREE = (-np.inf, np.inf)


def patients(num: int) -> pd.Series:
    return pd.Series([f"p{index}" for index in range(num)])


def test_symmetric_values_have_the_t_interval() -> None:
    values = pd.Series([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]) + 2
    expected = stats.t.interval(0.95, 6, loc=2, scale=stats.sem(values))
    assert mean_interval(values, patients(7)) == pytest.approx(expected)


def test_a_long_tail_widens_the_interval_on_its_side() -> None:
    values = pd.Series([0.0, 0.1, 0.2, 0.3, 0.4, 5.0])
    low, high = mean_interval(values, patients(6))
    assert high - values.mean() > 2 * (values.mean() - low)
    mirrored = mean_interval(-values, patients(6))
    assert mirrored == pytest.approx((-high, -low))


def test_an_interval_ends_where_values_end() -> None:
    values = pd.Series([0.0, 0.9, 0.95, 1.0, 1.0])
    low, high = mean_interval(values, patients(5))
    assert low < 0
    assert high > 1
    assert mean_interval(values, patients(5), within=(0.0, 1.0)) == (0.0, 1.0)


def test_more_slices_of_the_same_patients_say_no_more() -> None:
    values = pd.Series(np.random.default_rng(0).normal(size=50))
    often = mean_interval(values.repeat(7), patients(50).repeat(7))
    assert often == pytest.approx(mean_interval(values, patients(50)))


def test_values_that_are_all_alike_have_no_width_and_four_patients_no_interval() -> None:
    same = pd.Series([0.25] * 6)
    assert mean_interval(same, pd.Series([0, 1, 1, 2, 3, 4])) == (0.25, 0.25)
    assert np.isnan(mean_interval(pd.Series(range(6)), pd.Series([0, 1, 1, 2, 3, 3]))).all()
    unknown = pd.Series([1.0, 2.0, 3.0, 4.0, np.nan])
    assert np.isnan(mean_interval(unknown, patients(5))).all()
    assert np.isnan(mean_interval(unknown[:0], patients(0))).all()


def test_a_value_of_two_patients_is_an_influence_of_both() -> None:
    values = pd.Series([1.0, 2.0, 6.0])
    found = mean_influence(values, pd.Series(["a", "a", "b"]), pd.Series(["b", "a", "c"]))
    assert found.to_dict() == pytest.approx({"a": -1.0, "b": 1 - 2 / 3, "c": 1.0})


def test_an_interval_shifts_with_its_statistic() -> None:
    influence = pd.Series([0.1, -0.3, 0.15, 0.2, -0.15])
    assert interval(7.0, influence) == pytest.approx(tuple(7 + end for end in interval(0.0, influence)))


def test_leaving_patients_out_gives_the_influences_of_a_mean_and_of_many_by_groups() -> None:
    rng = np.random.default_rng(0)
    values, owners = rng.exponential(size=60), rng.integers(0, 20, 60)
    [mean], influence = jackknife(lambda kept: np.array([values[kept].mean()]), [f"p{owner:02d}" for owner in owners])
    assert mean == pytest.approx(values.mean())
    expected = mean_interval(pd.Series(values), pd.Series(owners))
    assert interval(mean, influence[0]) == pytest.approx(expected, rel=0.05)
    many = rng.normal(size=1000)
    [mean], influence = jackknife(
        lambda kept: np.array([many[kept].mean()]), [f"p{index:04d}" for index in range(1000)]
    )
    assert len(influence) == 200
    low, high = interval(mean, influence[0])
    assert high - low == pytest.approx(2 * 1.96 * many.std() / np.sqrt(1000), rel=0.15)


def test_a_higher_level_widens_the_interval() -> None:
    influence = pd.Series([0.1, -0.3, 0.15, 0.2, -0.15])
    (low, high), (lower, higher) = (interval(0.0, influence, level=level) for level in (0.95, 0.99))
    assert lower < low < high < higher


def test_what_two_means_share_does_not_widen_their_ratio() -> None:
    rng = np.random.default_rng(0)
    values, names = pd.Series(rng.uniform(0.1, 0.4, 60)), patients(60)
    ratio, ends = ratio_interval((values / 2, names), (values, names, names))
    assert (ratio, *ends) == pytest.approx((0.5, 0.5, 0.5))
    independent = values[::-1].reset_index(drop=True) / 2
    ratio, (low, high) = ratio_interval((independent, names), (values, names, names))
    assert ratio == pytest.approx(0.5)
    assert low < 0.47 < 0.53 < high


def test_a_ratio_is_of_the_patients_that_have_both() -> None:
    names = pd.Series(["a", "b", "c", "d"])
    below = pd.Series([0.2, 0.4, 0.9, np.nan]), names, names
    ratio, ends = ratio_interval((pd.Series([0.1, 0.1, 0.7]), pd.Series(["a", "b", "d"])), below)
    assert ratio == pytest.approx(0.1 / 0.3)
    assert np.isnan(ends).all()
    assert np.isnan(ratio_interval((pd.Series([0.7]), pd.Series(["d"])), below)[0])


def test_patients_of_the_masks_alone_make_no_interval() -> None:
    names = patients(9)
    below = pd.Series(np.linspace(0.2, 0.4, 9)), names, names[::-1].reset_index(drop=True)
    few = pd.Series([0.1, 0.2, 0.3, 0.2]), names[:4]
    ratio, ends = ratio_interval(few, below)
    assert ratio == pytest.approx(0.2 / 0.2375)
    assert np.isnan(ends).all()


@pytest.mark.parametrize("hits", [0, 3, 10])
def test_the_interval_of_a_share_is_exact(hits: int) -> None:
    exact = stats.binomtest(hits, 10).proportion_ci(0.95, "exact")
    assert share_interval(10.0 * hits, 10) == pytest.approx((100 * exact.low, 100 * exact.high))


def test_one_patient_has_no_share_to_speak_of() -> None:
    assert np.isnan(share_interval(100.0, 1)).all()


def test_networks_that_differ_widen_the_interval_and_one_network_has_none() -> None:
    influence = pd.Series([0.01, -0.01, 0.005, -0.005, 0.0])
    alike = np.full(5, 0.8)
    low, high = training_interval(0.8, influence, [alike])
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 4, 0.8, np.sqrt(5 / 4 * (influence**2).sum())))
    failed = np.array([0.8, 0.8, 0.8, 0.8, 0.3])
    assert training_interval(0.7, influence, [alike, failed])[0] < 0.5
    assert np.isnan(training_interval(0.8, influence, [alike[:2]])).all()
    assert training_interval(0.8, influence * 0, [alike]) == (0.8, 0.8)


def test_the_interval_of_three_networks_ends_where_overlaps_end_and_covers_as_often() -> None:
    rng, truth = np.random.default_rng(0), 0.95
    held = {False: 0, True: 0}
    for _ in range(200):
        of_networks = truth + 0.04 * rng.normal(size=3)
        cases = pd.Series(of_networks.mean() + 0.02 * rng.normal(size=8))
        influence = mean_influence(cases, patients(8))
        ends = [training_interval(float(cases.mean()), influence, [of_networks], within=w) for w in (FREE, (0.0, 1.0))]
        assert ends[1] == (max(ends[0][0], 0.0), min(ends[0][1], 1.0))
        for cut, (low, high) in zip((False, True), ends, strict=True):
            held[cut] += low <= truth <= high
    assert held[True] == held[False] >= 176  # a coverage of 93 % has fewer once in 300 times


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_the_true_value_about_as_often_as_they_say(kind: str) -> None:
    # Of 120 runs at 95 %, 105 or fewer hold it once in 400 times.
    assert 120 * coverage(kind, "beta 8, 2", 10, 120) >= 105


@pytest.mark.slow
@pytest.mark.parametrize("num", PATIENTS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_coverage_is_within_its_bounds(kind: str, distribution: str, num: int) -> None:
    # The bounds are 90 and 98 %; of 1000 runs, the standard error is 1 %.
    assert 0.88 <= coverage(kind, distribution, num, 1000) <= 0.99


@pytest.mark.parametrize("kind", OTHERS)
def test_intervals_of_other_values_do_too(kind: str) -> None:
    # Of 30 runs at 95 %, 23 or fewer hold it once in a thousand times.
    assert 30 * coverage(kind, "", 10, 30) >= 24


@pytest.mark.slow
@pytest.mark.parametrize("num", PATIENTS)
@pytest.mark.parametrize("kind", OTHERS)
def test_coverage_of_other_values_is_within_its_bounds(kind: str, num: int) -> None:
    found = coverage(kind, "", num, 600)
    assert np.isnan(found) or 0.88 <= found <= 0.99
