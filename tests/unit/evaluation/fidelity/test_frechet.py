"""The Frechet distance against its closed form and against scipy's matrix square root."""

import numpy as np
import pytest
from scipy import linalg

from medsyn2.evaluation.fidelity.frechet import (
    Moments,
    frechet_distance,
    frechet_distance_of_counts,
    frechet_distance_of_moments,
)


def reference(first: np.ndarray, second: np.ndarray) -> float:
    """The textbook formula, with scipy's square root of a matrix."""
    c1, c2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(c1 @ c2).real
    return float(np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(c1 + c2 - 2 * root))


@pytest.mark.parametrize(("n", "m", "f"), [(200, 300, 8), (50, 40, 20)])
def test_equals_the_textbook_formula(n: int, m: int, f: int) -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(n, f)) @ rng.normal(size=(f, f))
    second = rng.normal(size=(m, f)) @ rng.normal(size=(f, f)) + 1
    assert frechet_distance(first, second) == pytest.approx(reference(first, second), rel=1e-6)


def test_one_dimensional_gaussians_have_the_closed_form() -> None:
    first = np.array([[-1.0], [1.0]]) * 3 + 5
    second = np.array([[-1.0], [1.0]]) * 2
    expected = 25 + (3 * np.sqrt(2) - 2 * np.sqrt(2)) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected)


def test_is_zero_for_equal_sets_and_does_not_change_under_rotation() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(30, 40)), rng.normal(size=(25, 40)) * 2
    rotation = linalg.qr(rng.normal(size=(40, 40)))[0]
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(first @ rotation, second @ rotation) == pytest.approx(frechet_distance(first, second))
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_refuses_what_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two samples"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(np.full((3, 3), np.nan), np.zeros((5, 3)))


def test_moments_of_shards_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(90, 12)) + 100, rng.normal(size=(80, 12)) * 2 + 101
    merged = Moments.of(first[:7]).merge(Moments.of(first[7:50])).merge(Moments.of(first[50:]))
    whole = Moments.of(first)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-10)
    expected = reference(first, second)
    assert frechet_distance_of_moments(merged, Moments.of(second)) == pytest.approx(expected, rel=1e-6)


def test_chunks_of_a_large_set_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(90, 12)) + 100, rng.normal(size=(80, 12)) + 101
    whole = frechet_distance(first, second)
    monkeypatch.setattr("medsyn2.evaluation.fidelity.frechet._CHUNK_ROWS", 7)
    assert frechet_distance(first, second) == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("f", [6, 60])
def test_counts_are_repetitions(f: int) -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(30, f)), rng.normal(size=(25, f)) + 0.5
    counts = rng.integers(0, 4, 30), rng.integers(0, 4, 25)
    repeated = (np.repeat(first, counts[0], axis=0), np.repeat(second, counts[1], axis=0))
    expected = reference(*repeated)
    assert frechet_distance_of_counts(first, second, *counts) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(*repeated) == pytest.approx(expected, rel=1e-4)


def test_many_samples_of_gaussians_have_the_closed_form() -> None:
    """The sample covariance is made exactly diagonal, so that the closed form holds without sampling error."""
    rng = np.random.default_rng(4)

    def exact(mean: float, scale: np.ndarray) -> np.ndarray:
        values = rng.normal(size=(500, len(scale)))
        white = (values - values.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T))).T
        return white * scale + mean

    scales = np.array([1.0, 2.0, 3.0]), np.array([0.5, 2.0, 5.0])
    expected = 3 * 1.5**2 + np.sum((scales[0] - scales[1]) ** 2)
    first, second = exact(0.5, scales[0]), exact(2.0, scales[1])
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)
