"""Strips are PNGs of the right shape, the same twice, and show what differs."""

import io

import numpy as np
from matplotlib.image import imread

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.page.strips import Picture, difference, strips_png

AFFINE = axis_aligned_affine((3.0, 2.0, 2.0), (0.0, 0.0, 0.0))
VOLUME = CTVolume(np.random.default_rng(0).integers(-1000, 100, (8, 10, 12)).astype(np.int16), AFFINE)


def pixels(png: bytes) -> np.ndarray:
    return imread(io.BytesIO(png))


def test_more_rows_and_columns_make_a_larger_picture_and_the_same_bytes_twice() -> None:
    rows = [[Picture(VOLUME, "a"), Picture(VOLUME, "b")], [Picture(VOLUME, "c")]]
    png = strips_png(rows)
    assert png == strips_png(rows)
    one = pixels(strips_png([[Picture(VOLUME, "a")]]))
    np.testing.assert_allclose(pixels(png).shape[:2], np.array(one.shape[:2]) * 2, atol=2)


def test_a_contour_is_drawn_where_the_mask_is() -> None:
    mask = np.zeros(VOLUME.shape, dtype=bool)
    mask[2:6, 3:7, 4:9] = True
    bare, outlined = (pixels(strips_png([[Picture(VOLUME, "a", one)]])) for one in (None, mask))
    assert np.ptp(bare[..., :3], axis=-1).max() == 0
    assert np.ptp(outlined[..., :3], axis=-1).max() > 0.5


def test_nothing_differs_from_itself() -> None:
    other = CTVolume(VOLUME.hu + np.int16(600), AFFINE)
    assert (difference(VOLUME, VOLUME).hu == -1350).all()
    assert (difference(VOLUME, other).hu == 150).all()
    np.testing.assert_array_equal(difference(VOLUME, other).hu, difference(other, VOLUME).hu)
