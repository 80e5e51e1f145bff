"""The kernel distance sees means and spread, has its size under the null, and knows pairs of one patient."""

from math import isnan

import numpy as np
import pytest

from medsyn2.evaluation.fidelity.mmd import Mmd, mmd


def names(name: str, num: int) -> list[str]:
    return [f"{name}{index}" for index in range(num)]


def drawn(rng: np.random.Generator, num: int, spread: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """Features of the size of the weight-free ones."""
    return 0.006 * (spread * rng.normal(size=(num, 12)) + shift)


def test_means_and_spread_are_seen_whatever_the_scale() -> None:
    rng = np.random.default_rng(0)
    real, owners = drawn(rng, 24), (names("p", 24), names("q", 24))
    for spread, shift in ((1.0, 1.0), (0.4, 0.0)):
        found = mmd(real, drawn(rng, 24, spread, shift), owners, seed=0)
        assert found.value > found.floor
        assert found.p <= 0.005
    scaled = mmd(1e4 * real, 1e4 * drawn(np.random.default_rng(1), 24), owners, seed=0)
    assert scaled.value == pytest.approx(mmd(real, drawn(np.random.default_rng(1), 24), owners, seed=0).value)


def test_one_perfect_generator_in_twenty_has_so_small_a_p() -> None:
    rng = np.random.default_rng(2)
    found = [mmd(drawn(rng, 8), drawn(rng, 8), (names("p", 8), names("q", 8)), seed=0) for _ in range(100)]
    assert np.mean([one.p <= 0.05 for one in found]) <= 0.11
    assert abs(np.mean([one.value for one in found])) < 3 * np.std([one.value for one in found]) / 10
    assert np.mean([one.value > one.floor for one in found]) <= 0.11


def test_pairs_of_one_patient_are_exchanged_together() -> None:
    rng = np.random.default_rng(3)
    real, own = drawn(rng, 12), names("p", 12)
    near = real + 0.1 * drawn(rng, 12)
    assert mmd(real, near, (own, own), seed=0).p > 0.2
    assert mmd(real, near + 0.005, (own, own), seed=0).p < 0.01


def test_a_patient_with_several_volumes_counts_once() -> None:
    rng = np.random.default_rng(4)
    real, synthetic = drawn(rng, 9), drawn(rng, 9)
    once = mmd(real, synthetic, (names("p", 9), names("q", 9)), seed=0)
    twice = mmd(real, np.repeat(synthetic, 3, axis=0), (names("p", 9), list(np.repeat(names("q", 9), 3))), seed=0)
    assert twice.value == pytest.approx(once.value)


def test_planes_are_dealt_alike_and_two_patients_say_nothing() -> None:
    rng = np.random.default_rng(5)
    found = [mmd(drawn(rng, 6), drawn(rng, 6), (names("p", 6), names("q", 6)), seed=0) for _ in range(3)]
    assert Mmd.mean(found).value == pytest.approx(np.mean([one.value for one in found]))
    assert Mmd.mean(found[:1]).p == found[0].p
    few = mmd(drawn(rng, 2), drawn(rng, 9), (names("p", 2), names("q", 9)), seed=0)
    assert isnan(few.value)
    assert isnan(few.floor)
    assert isnan(few.p)
