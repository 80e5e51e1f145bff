import numpy as np
import pytest
from scipy import ndimage

from medsyn2.ct import morphology


@pytest.fixture
def blobs() -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(20, 24, 28)), 1.5)
    return noise > 0.05


def test_distance_is_scipys(blobs: np.ndarray) -> None:
    expected = ndimage.distance_transform_edt(~blobs) * 2.5
    np.testing.assert_allclose(morphology.distance_mm(blobs, 2.5), expected, rtol=1e-5)


def test_distance_to_nothing_is_infinite() -> None:
    assert np.isinf(morphology.distance_mm(np.zeros((2, 3, 4), bool), 1.0)).all()


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_dilation_is_that_by_a_ball(blobs: np.ndarray, radius: int) -> None:
    from skimage import morphology as reference

    expected = reference.dilation(blobs, reference.ball(radius))
    np.testing.assert_array_equal(morphology.dilate(blobs, radius * 1.5, 1.5), expected)


@pytest.mark.parametrize("radius", [1, 2])
def test_erosion_is_that_by_a_ball_and_spares_the_border(blobs: np.ndarray, radius: int) -> None:
    from skimage import morphology as reference

    padded = np.pad(blobs, radius, constant_values=True)
    inner = (slice(radius, -radius),) * 3
    expected = reference.erosion(padded, reference.ball(radius))[inner]
    np.testing.assert_array_equal(morphology.erode(blobs, float(radius), 1.0), expected)


def test_opening_removes_what_a_ball_does_not_fit_into() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[5:15, 5:15, 5:15] = True
    mask[10, 10, 15:] = True
    opened = morphology.open_mask(mask, 2.0, 1.0)
    assert opened[10, 10, 10]
    assert not opened[10, 10, 17:].any()


def test_closing_fills_a_gap_also_where_the_border_cuts_it() -> None:
    mask = np.zeros((16, 16, 16), bool)
    mask[:, 4:7, :] = mask[:, 9:12, :] = True
    closed = morphology.close_mask(mask, 2.0, 1.0)
    np.testing.assert_array_equal(
        closed, np.broadcast_to((np.arange(16) >= 4) & (np.arange(16) < 12), (16, 16, 16)).swapaxes(1, 2)
    )


def test_filled_closes_cavities_and_tunnels_along_depth() -> None:
    mask = np.ones((8, 8, 8), bool)
    mask[4, 4, 4] = mask[:, 2, 2] = False
    assert morphology.fill_holes(mask).all()


def test_components_are_counted_largest_found_small_removed() -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[1:3, 1:3, 1:3] = True
    mask[5:9, 5:9, 5:9] = True
    labels, sizes = morphology.components(mask)
    assert sizes.tolist() == [8, 64]
    np.testing.assert_array_equal(morphology.largest_component(mask), labels == 2)
    np.testing.assert_array_equal(morphology.remove_small(mask, 0.064 * 8, 2.0), labels == 2)
    assert not morphology.largest_component(np.zeros((2, 2, 2), bool)).any()


def test_touching_keeps_the_components_of_the_seed() -> None:
    mask = np.zeros((4, 4, 9), bool)
    mask[..., :3] = mask[..., 6:] = True
    seed = np.zeros_like(mask)
    seed[0, 0, 7] = seed[0, 0, 4] = True
    kept = morphology.touching_components(mask, seed)
    assert kept[..., 6:].all()
    assert not kept[..., :6].any()


def test_box_is_tight_and_clipped_by_the_array() -> None:
    mask = np.zeros((10, 11, 12), bool)
    mask[0, 4, 5] = mask[3, 6, 5] = True
    assert morphology.bounding_box(mask) == (slice(0, 4), slice(4, 7), slice(5, 6))
    assert morphology.bounding_box(mask, 1) == (slice(0, 5), slice(3, 8), slice(4, 7))
    assert mask[morphology.bounding_box(np.zeros_like(mask))].shape == mask.shape


def test_depth_is_the_distance_to_the_outside(blobs: np.ndarray) -> None:
    expected = ndimage.distance_transform_edt(blobs) * 2.5
    np.testing.assert_allclose(morphology.depth_mm(blobs, 2.5), expected, rtol=1e-5)
    assert np.isinf(morphology.depth_mm(np.ones((2, 3, 4), bool), 1.0)).all()
    assert not morphology.depth_mm(np.zeros((2, 3, 4), bool), 1.0).any()


@pytest.mark.parametrize("radius", [0.5, 2.2, 4.0, 7.9, 8.0, 30.0])
def test_a_ball_of_any_radius_is_a_threshold_of_the_distance(blobs: np.ndarray, radius: float) -> None:
    sparse = blobs & (np.random.default_rng(1).random(blobs.shape) < 0.005)
    expected = ndimage.distance_transform_edt(~sparse) <= radius
    np.testing.assert_array_equal(morphology.dilate(sparse, radius * 1.5, 1.5), expected)
