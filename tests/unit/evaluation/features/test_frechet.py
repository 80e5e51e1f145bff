"""The Frechet distance against its closed form and against scipy's matrix square root."""

import numpy as np
import pytest
from scipy import linalg

from medsyn2.evaluation.features.frechet import Gaussian, Moments, distance_of_gaussians, frechet_distance, influences


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
    merged = Moments.pool([Moments.of(first[:7]), Moments.of(first[7:50]), Moments.of(first[50:])])
    whole = Moments.of(first)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-10)
    expected = reference(first, second)
    gaussians = Gaussian.of_moments(merged), Gaussian.of(second)
    assert distance_of_gaussians(*gaussians) == pytest.approx(expected, rel=1e-6)


def test_chunks_of_a_large_set_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(90, 12)) + 100, rng.normal(size=(80, 12)) + 101
    whole = frechet_distance(first, second)
    monkeypatch.setattr("medsyn2.evaluation.features.frechet._CHUNK_ROWS", 7)
    assert frechet_distance(first, second) == pytest.approx(whole, rel=1e-9)


def test_features_that_never_vary_change_nothing() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(90, 6)), rng.normal(size=(80, 6)) + 1
    padded = [np.pad(rows, ((0, 0), (2, 3))) for rows in (first, second)]
    assert Gaussian.of(padded[0]).root.shape == (11, 6)
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(first, second), rel=1e-6)


@pytest.mark.parametrize(("n", "m", "f"), [(60, 50, 5), (12, 10, 30), (12, 80, 20), (80, 12, 20)])
def test_influence_is_the_derivative_by_a_sample_s_weight(n: int, m: int, f: int) -> None:
    rng = np.random.default_rng(6)
    sets = rng.normal(size=(n, f)), rng.normal(size=(m, f)) @ rng.normal(size=(f, f)) / f**0.5 + 0.3

    def weighted(rows: np.ndarray, weights: np.ndarray) -> Gaussian:
        mean = weights @ rows / weights.sum()
        root = (rows - mean).T * np.sqrt(weights / (weights.sum() - 1))
        return Gaussian(1, mean, root)  # As if of few samples: by the singular values themselves.

    found = influences(*sets, (Gaussian.of(sets[0]), Gaussian.of(sets[1])))
    for side, row in ((0, 3), (0, n - 1), (1, 2), (1, m - 1)):
        ends = []
        for step in (1e-4, -1e-4):
            weights = [np.ones(n), np.ones(m)]
            weights[side][row] += step
            ends.append(distance_of_gaussians(*(weighted(*one) for one in zip(sets, weights, strict=True))))
        assert found[side][row] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-3, abs=1e-5)


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
