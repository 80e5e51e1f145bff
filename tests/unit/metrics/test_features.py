"""The weight-free features are fixed, see textures, and take slices from where they say."""

import numpy as np
import pytest
from scipy import ndimage

from medsyn2.metrics.features import RandomBank, plane_slices, planes
from medsyn2.metrics.frechet import frechet_distance


def textures(seed: int, sigma: float) -> np.ndarray:
    """Noise of one smoothness in [0, 1]."""
    noise = np.random.default_rng(seed).normal(size=(24, 32, 40))
    smooth = np.stack([ndimage.gaussian_filter(piece, sigma) for piece in noise])
    return np.clip(0.5 + smooth / smooth.std() / 6, 0, 1)


def test_equal_seeds_give_equal_features_and_other_seeds_others() -> None:
    slices = textures(0, 1)
    np.testing.assert_array_equal(RandomBank(0)(slices), RandomBank(0)(slices))
    assert not np.array_equal(RandomBank(0)(slices), RandomBank(1)(slices))
    assert RandomBank(0).name != RandomBank(1).name


def test_features_do_not_depend_on_the_batch() -> None:
    slices = textures(0, 1)
    np.testing.assert_allclose(RandomBank(0)(slices)[5:9], RandomBank(0)(slices[5:9]), rtol=1e-4, atol=1e-6)


def test_distance_orders_textures_by_likeness() -> None:
    bank = RandomBank(0)
    reference = bank(textures(0, 1.0))
    same, near, far = (frechet_distance(reference, bank(textures(1, sigma))) for sigma in (1.0, 1.5, 3.0))
    assert same < near < far


@pytest.mark.parametrize(
    ("plane", "shape"), [("axial", (5, 30, 40)), ("coronal", (5, 20, 40)), ("sagittal", (5, 20, 30))]
)
def test_slices_of_a_plane_are_perpendicular_to_its_axis(plane: str, shape: tuple[int, int, int]) -> None:
    volume = np.arange(20 * 30 * 40).reshape(20, 30, 40)
    slices = plane_slices(volume, plane, 5)
    assert slices.shape == shape


def test_slices_leave_out_the_ends() -> None:
    volume = np.broadcast_to(np.arange(101)[:, None, None], (101, 8, 8))
    assert plane_slices(volume, "axial", 3)[:, 0, 0].tolist() == [10, 50, 90]
    assert list(planes()) == ["axial", "sagittal", "coronal"]
