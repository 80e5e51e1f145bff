"""Random halves and groups keep patients together, and intervals count their influences by stratum."""

from math import isnan

import numpy as np
import pytest
from scipy import stats

from medsyn2.evaluation.fidelity.patients import Patients, draw_patients, interval

REAL = [f"p{i:02d}" for i in range(10)] * 2
SYNTHETIC = [f"p{i:02d}" for i in range(4, 10)] + ["q1", "q2"]


def test_strata_are_those_of_one_set_of_both_and_of_the_other() -> None:
    patients = Patients.of(REAL, SYNTHETIC)
    assert [stratum.tolist() for stratum in patients.strata()] == [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9], [10, 11]]
    assert patients.inverse_size(np.arange(12) < 8) == pytest.approx(1 / 8 + 1 / 4)


def test_halves_are_apart_and_synthetic_patients_preferably_others() -> None:
    patients = Patients.of(REAL, SYNTHETIC)
    for split in draw_patients(patients, 20, np.random.default_rng(0)).splits:
        assert split.one.sum() == split.other.sum() == split.synthetic.sum() == 5
        assert not (split.one & split.other).any()
        assert not (split.one & ~patients.in_real).any()
        assert not (split.synthetic & ~patients.in_synthetic).any()
        others = np.count_nonzero(patients.in_synthetic & ~split.one)
        assert np.count_nonzero(split.synthetic & split.one) == max(0, 5 - others)


@pytest.mark.parametrize(("ours", "theirs"), [(REAL, SYNTHETIC), (REAL, REAL[:4]), (REAL[:4], SYNTHETIC), (REAL, REAL)])
def test_groups_divide_each_set_evenly(ours: list[str], theirs: list[str]) -> None:
    patients = Patients.of(ours, theirs)
    for group in draw_patients(patients, 20, np.random.default_rng(0)).divisions:
        for one in (patients.in_real, patients.in_synthetic):
            halves = [np.count_nonzero(np.isin(group, half) & one) for half in ((0, 1, 2), (3, 4, 5))]
            assert abs(halves[0] - halves[1]) <= 1
            assert np.ptp(np.bincount(group[one], minlength=6)) <= 1


def test_interval_of_a_mean_is_student_s() -> None:
    values = np.random.default_rng(0).normal(5, 1, 12)
    patients = Patients.of([f"p{i:02d}" for i in range(12)], [f"p{i:02d}" for i in range(12)])
    found = interval(float(values.mean()), (values - values.mean()) / 12, patients)
    expected = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    np.testing.assert_allclose(found, expected)


def test_interval_of_a_difference_is_welch_s_and_never_below_nothing() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(6, 1, 9), rng.normal(5, 3, 5)
    patients = Patients.of([f"a{i}" for i in range(9)], [f"b{i}" for i in range(5)])
    influence = np.concatenate([(ours - ours.mean()) / 9, (theirs.mean() - theirs) / 5])
    welch = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    low, high = interval(float(ours.mean() - theirs.mean()), influence, patients)
    assert high == pytest.approx(welch.high)
    assert low == max(0.0, welch.low)


def test_too_few_patients_have_no_interval_and_no_draws() -> None:
    patients = Patients.of(REAL[:3], SYNTHETIC)
    assert all(isnan(end) for end in interval(1.0, np.zeros(len(patients.in_real)), patients))
    draws = draw_patients(patients, 5, np.random.default_rng(0))
    assert (draws.splits, draws.divisions) == ([], [])
