"""Variety is 1 for real patients, and tells collapse, few modes and a shrunk set from them."""

import numpy as np
import pytest

from medsyn2.evaluation.fidelity.variety import Variety, variety

WIDTH = 40


def patients(num: int, name: str) -> list[str]:
    return [f"{name}{index}" for index in range(num)]


def of(real: np.ndarray, synthetic: np.ndarray) -> Variety:
    return variety(real, synthetic, (patients(len(real), "r"), patients(len(synthetic), "s")))


def test_a_shrunk_set_has_the_share_of_its_spread() -> None:
    real = np.random.default_rng(0).normal(3.0, 2.0, (12, WIDTH))
    found = of(real, real.mean(axis=0) + 0.6 * (real - real.mean(axis=0)))
    assert found.ratio == pytest.approx(0.6)
    assert found.high < 1


@pytest.mark.parametrize("num", [8, 20])
def test_real_patients_are_seldom_called_alike(num: int) -> None:
    rng = np.random.default_rng(1)
    # Volumes vary in few directions, as chests do.
    mixing = rng.normal(size=(6, WIDTH))
    found = [of(rng.normal(size=(num, 6)) @ mixing, rng.normal(size=(num, 6)) @ mixing) for _ in range(200)]
    assert np.mean([one.ratio for one in found]) == pytest.approx(1, abs=0.05)
    assert np.mean([one.high < 1 for one in found]) <= 0.06


@pytest.mark.parametrize("modes", [1, 2])
def test_one_chest_or_two_again_and_again_are_told_at_eight_patients(modes: int) -> None:
    rng = np.random.default_rng(2)
    real = rng.normal(size=(8, WIDTH))
    copies = np.repeat(rng.normal(size=(modes, WIDTH)), 8 // modes, axis=0) + 0.05 * rng.normal(size=(8, WIDTH))
    assert of(real, copies).high < 0.95


def test_scans_of_one_patient_are_no_variety() -> None:
    real = np.random.default_rng(3).normal(size=(10, WIDTH))
    twice = np.repeat(real, 2, axis=0)
    owners = list(np.repeat(patients(10, "r"), 2))
    found = variety(twice, twice, (owners, [f"s{one}" for one in owners]))
    assert found.ratio == pytest.approx(1)


def test_few_patients_have_a_ratio_and_no_interval_and_one_has_neither() -> None:
    real = np.random.default_rng(4).normal(size=(6, WIDTH))
    few = of(real, real[:4])
    assert np.isfinite(few.ratio)
    assert np.isnan([few.low, few.high]).all()
    assert np.isnan(of(real, real[:1]).ratio)


def test_a_feature_that_never_varies_says_nothing() -> None:
    real = np.random.default_rng(5).normal(size=(6, WIDTH))
    constant = np.full((6, 1), 7.0)
    assert of(np.hstack([real, constant]), np.hstack([real, constant + 1])) == of(real, real)
