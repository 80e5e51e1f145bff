"""Strips are PNGs of the right shape, the same twice, and show what differs."""

import io
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.page.strips import Picture, difference, read_strip, strips_png, write_strip

AFFINE = axis_aligned_affine((3.0, 2.0, 2.0), (0.0, 0.0, 0.0))
VOLUME = CTVolume(np.random.default_rng(0).integers(-1000, 100, (8, 10, 12)).astype(np.int16), AFFINE)


def pixels(png: bytes) -> np.ndarray:
    return imread(io.BytesIO(png))


def test_more_rows_and_columns_make_a_larger_picture_and_the_same_bytes_twice() -> None:
    rows = [[Picture(VOLUME, "a"), Picture(VOLUME, "b")], [Picture(VOLUME, "c")]]
    png = strips_png(rows)
    assert png == strips_png(rows)
    one, wide, tall = (
        pixels(strips_png(shown)).shape[:2]
        for shown in (
            [[Picture(VOLUME, "a")]],
            [[Picture(VOLUME, "a"), Picture(VOLUME, "b")]],
            [[Picture(VOLUME, "a")]] * 2,
        )
    )
    assert (one[0], wide[1]) == (wide[0], 2 * one[1])
    assert tall[1] == one[1] < tall[0] < 2 * one[0]  # what is said of all pictures is said once
    assert pixels(png).shape[:2] == (tall[0], wide[1])


def test_a_contour_is_drawn_where_the_mask_is() -> None:
    mask = np.zeros(VOLUME.shape, dtype=bool)
    mask[2:6, 3:7, 4:9] = True
    bare, outlined = (pixels(strips_png([[Picture(VOLUME, "a", one)]])) for one in (None, mask))
    assert np.ptp(bare[..., :3], axis=-1).max() == 0
    note = int(0.36 * 130)  # below the pictures, where the contour is explained
    for part in (outlined[:-note], outlined[-note:]):
        assert np.ptp(part[..., :3], axis=-1).max() > 0.5


def test_the_patient_s_right_is_marked_on_the_left() -> None:
    air = CTVolume(np.full(VOLUME.shape, -2000, np.int16), AFFINE)
    picture = pixels(strips_png([[Picture(air, "")]]))[: -int(0.36 * 130), :, 0]
    left, right = np.array_split(picture, 2, axis=1)
    assert left.any()
    assert right.any()
    assert not np.array_equal(left, right[:, ::-1])


def test_nothing_differs_from_itself() -> None:
    other = CTVolume(VOLUME.hu + np.int16(600), AFFINE)
    assert (difference(VOLUME, VOLUME).hu == -1350).all()
    assert (difference(VOLUME, other).hu == 150).all()
    np.testing.assert_array_equal(difference(VOLUME, other).hu, difference(other, VOLUME).hu)


def test_a_kept_strip_holds_one_slice_and_is_drawn_as_before(tmp_path: Path) -> None:
    mask = np.zeros(VOLUME.shape, dtype=bool)
    mask[2:6, 7:9, 4:9] = True
    rows = [
        [Picture(VOLUME, "plain", window="bone"), Picture(VOLUME, "with a mask", mask)],
        [Picture(VOLUME, "through its middle")],
    ]
    kept = []
    for index, row in enumerate(rows):
        path = tmp_path / f"{index}.npz"
        write_strip(path, row)
        kept.append(read_strip(path))
    assert kept[0][0].volume.shape == (8, 1, 12)
    assert [one.mask is None for one in kept[0]] == [True, False]
    assert strips_png(kept) == strips_png(rows)
