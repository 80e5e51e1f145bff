"""The Frechet distance against its closed form and against scipy's matrix square root."""

import numpy as np
import pytest
from scipy import linalg

from medsyn2.metrics.frechet import frechet_distance


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
    assert frechet_distance(first @ rotation, second @ rotation) == pytest.approx(
        frechet_distance(first, second)
    )
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))


def test_refuses_what_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="two samples"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(np.full((3, 3), np.nan), np.zeros((5, 3)))
