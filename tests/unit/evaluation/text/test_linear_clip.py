"""The linear space against scikit-learn's ridge regression and its leave-one-out search."""

import numpy as np
import pytest

from medsyn2.evaluation.text.linear_clip import PENALTIES, fit_linear_clip


def pairs(num: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of volumes and the reports' features that are a linear map of them, and noise."""
    rng = np.random.default_rng(seed)
    volumes = rng.normal(size=(num, 40)) * rng.uniform(0.1, 10, 40) + rng.normal(size=40)
    texts = (volumes / volumes.std(axis=0)) @ np.random.default_rng(9).normal(size=(40, 6))
    return volumes, texts + noise * rng.normal(size=texts.shape) + 3.0


@pytest.mark.parametrize("noise", [0.01, 5.0, 50.0])
@pytest.mark.parametrize("num", [15, 120])
def test_equal_to_ridge_with_the_penalty_of_the_least_left_out_error(num: int, noise: float) -> None:
    from sklearn.linear_model import Ridge, RidgeCV

    volumes, texts = pairs(num, noise)
    space = fit_linear_clip(volumes, texts)
    scaled = (volumes - volumes.mean(axis=0)) / volumes.std(axis=0)
    centred = texts - texts.mean(axis=0)
    unit = np.trace(scaled @ scaled.T) / num
    search = RidgeCV(PENALTIES * unit).fit(scaled, centred)
    assert space.penalty * unit == pytest.approx(search.alpha_)
    reference = Ridge(search.alpha_).fit(scaled, centred)
    np.testing.assert_allclose(space.of_volumes(volumes), reference.predict(scaled), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(space.of_texts(texts), centred)


def test_noise_alone_takes_a_large_penalty_and_a_line_without_noise_the_least() -> None:
    assert fit_linear_clip(*pairs(200, 0.0)).penalty == PENALTIES[0]
    for num in (15, 200):
        assert fit_linear_clip(*pairs(num, 1e4)).penalty >= 1


def test_features_that_do_not_vary_count_nothing() -> None:
    volumes, texts = pairs(30, 0.1)
    constant = np.concatenate([volumes, np.full((30, 2), 7.0)], axis=1)
    with_them, without = fit_linear_clip(constant, texts), fit_linear_clip(volumes, texts)
    np.testing.assert_allclose(with_them.of_volumes(constant + 1e-3), without.of_volumes(volumes + 1e-3))


def test_scale_and_offset_of_features_do_not_matter() -> None:
    volumes, texts = pairs(30, 1.0)
    other = volumes * 7.0 - 100.0
    first, second = fit_linear_clip(volumes, texts), fit_linear_clip(other, texts)
    np.testing.assert_allclose(first.of_volumes(volumes), second.of_volumes(other))
    assert first.sha256 != second.sha256


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="expected three or more cases, got 2"):
        fit_linear_clip(np.zeros((2, 4)), np.zeros((2, 2)))
