"""SSIM and PSNR against scikit-image."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from medsyn2.metrics.reconstruction import mean_absolute_error_hu, psnr_db, ssim_3d


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    first = ndimage.gaussian_filter(rng.normal(size=(16, 20, 18)), 2) * 3000
    return first.astype(np.int16), (first + rng.normal(size=first.shape) * 40).astype(np.int16)


def test_ssim_equals_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = (volume.astype(np.float64) for volume in pair)
    expected = structural_similarity(first, second, data_range=2048)
    assert ssim_3d(*pair, data_range=2048) == pytest.approx(expected, abs=1e-6)


def test_psnr_equals_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    expected = peak_signal_noise_ratio(*(volume.astype(np.float64) for volume in pair), data_range=2048)
    assert psnr_db(*pair, data_range=2048) == pytest.approx(expected)
    assert psnr_db(pair[0], pair[0], data_range=2048) == float("inf")


def test_error_in_hu_does_not_wrap() -> None:
    low, high = np.full((8, 8, 8), -32000, np.int16), np.full((8, 8, 8), 32000, np.int16)
    assert mean_absolute_error_hu(low, high) == 64000


def test_ssim_refuses_a_volume_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="at least 7"):
        ssim_3d(np.zeros((4, 8, 8)), np.zeros((4, 8, 8)), data_range=1)
