"""SSIM and PSNR against scikit-image and MONAI."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from medsyn2.evaluation.similarity.volumes import (
    inside_body,
    mean_absolute_error_hu,
    psnr_db,
    ssim_3d_box,
    ssim_3d_gaussian,
)

RANGE_HU = 2048.0
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


@pytest.fixture(params=[(16, 20, 18), (45, 13, 11)])
def pair(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Two volumes; the second shape takes several slabs."""
    rng = np.random.default_rng(0)
    first = ndimage.gaussian_filter(rng.normal(size=request.param), 2) * 3000
    return first.astype(np.int16), (first + rng.normal(size=first.shape) * 40).astype(np.int16)


def test_box_equals_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    from skimage.metrics import structural_similarity

    first, second = (volume.astype(np.float64) for volume in pair)
    expected = structural_similarity(first, second, data_range=RANGE_HU)
    assert ssim_3d_box(*pair, data_range=RANGE_HU) == pytest.approx(expected, abs=1e-9)


def test_gaussian_equals_scikit_image_and_monai(pair: tuple[np.ndarray, np.ndarray]) -> None:
    from monai.metrics import SSIMMetric
    from skimage.metrics import structural_similarity

    first, second = (volume.astype(np.float64) for volume in pair)
    expected = structural_similarity(first, second, data_range=RANGE_HU, **GAUSSIAN)
    found = ssim_3d_gaussian(*pair, data_range=RANGE_HU)
    assert found == pytest.approx(expected, abs=1e-9)
    metric = SSIMMetric(spatial_dims=3, data_range=RANGE_HU)
    monai = metric(*(torch.from_numpy(volume)[None, None] for volume in (first, second)))
    assert found == pytest.approx(float(monai), abs=1e-5)


def test_equal_volumes_are_at_one_and_order_does_not_matter(pair: tuple[np.ndarray, np.ndarray]) -> None:
    for ssim in (ssim_3d_box, ssim_3d_gaussian):
        assert ssim(pair[0], pair[0], RANGE_HU) == pytest.approx(1.0)
        assert ssim(*pair, RANGE_HU) == pytest.approx(ssim(*pair[::-1], RANGE_HU))


def test_psnr_equals_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    expected = peak_signal_noise_ratio(*(volume.astype(np.float64) for volume in pair), data_range=2048)
    assert psnr_db(*pair, data_range=2048) == pytest.approx(expected)
    assert psnr_db(pair[0], pair[0], data_range=2048) == float("inf")
    where = np.zeros(pair[0].shape, bool)
    where[2:5] = True
    expected = peak_signal_noise_ratio(*(v[2:5].astype(np.float64) for v in pair), data_range=2048)
    assert psnr_db(*pair, data_range=2048, where=where) == pytest.approx(expected)


def test_body_holds_its_lungs_and_not_the_air_and_the_table() -> None:
    hu = np.full((6, 20, 20), -1000, np.int16)
    hu[:, 3:14, 3:17] = 40
    hu[:, 5:12, 5:9] = -850
    hu[:, 17, 2:18] = 200
    body = inside_body(hu)
    assert body[:, 3:14, 3:17].all()
    assert body.sum() == 6 * 11 * 14
    assert not inside_body(np.full((3, 4, 4), -1000, np.int16)).any()


def test_error_in_hu_does_not_wrap() -> None:
    low, high = np.full((8, 8, 8), -32000, np.int16), np.full((8, 8, 8), 32000, np.int16)
    assert mean_absolute_error_hu(low, high) == 64000


@pytest.mark.parametrize(("ssim", "window"), [(ssim_3d_box, 7), (ssim_3d_gaussian, 11)])
def test_ssim_refuses_a_volume_smaller_than_its_window(ssim, window: int) -> None:
    with pytest.raises(ValueError, match=f"at least {window}"):
        ssim(np.zeros((4, 18, 18)), np.zeros((4, 18, 18)), data_range=1.0)
