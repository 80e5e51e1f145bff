import numpy as np
import pytest
from scipy import ndimage

from medsyn2.ct.anatomy.sharpness import edge_width_mm, warn_of_blur

FWHM_OF_SIGMA = 2.3548


@pytest.fixture
def ball():
    """A ball of tissue in air on a fine grid, which has nothing but edges of known height."""
    places = np.indices((24, 120, 120)) - np.array([11.5, 59.5, 59.5])[:, None, None, None]
    return np.where(np.sqrt((places**2).sum(axis=0)) < 40, 0.0, -900.0)


@pytest.mark.parametrize("width_mm", [4.0, 8.0])
def test_the_width_of_an_edge_is_that_of_its_blur(ball, width_mm) -> None:
    blurred = ndimage.gaussian_filter(ball, (0, *[width_mm / FWHM_OF_SIGMA / 0.8] * 2))
    assert edge_width_mm(blurred, (2.0, 0.8, 0.8)) == pytest.approx(width_mm, rel=0.1)


def test_a_sharp_chest_is_not_blurred_and_a_smoothed_one_is(chest) -> None:
    assert warn_of_blur(chest.hu, chest.spacing_mm) == []
    sigma = np.array([0, 12.0, 12.0]) / FWHM_OF_SIGMA / chest.spacing_mm
    (warning,) = warn_of_blur(ndimage.gaussian_filter(chest.hu.astype(np.float32), sigma), chest.spacing_mm)
    assert "blurred" in warning


def test_neither_noise_nor_a_wide_field_of_view_is_a_blur(chest) -> None:
    noise = np.random.default_rng(0).normal(0, 60, chest.shape)
    assert warn_of_blur(chest.hu + noise, chest.spacing_mm) == []
    wide = np.pad(chest.hu, ((0, 0), (80, 80), (80, 80)), constant_values=-1000)
    assert edge_width_mm(wide, chest.spacing_mm) == pytest.approx(edge_width_mm(chest.hu, chest.spacing_mm), rel=0.03)


def test_air_has_no_edges() -> None:
    assert edge_width_mm(np.full((4, 8, 8), -1000), (1.0, 1.0, 1.0)) is None
    assert warn_of_blur(np.full((4, 8, 8), -1000), (1.0, 1.0, 1.0)) == []
