"""A volume and its geometry: what the affine means, and which ones are refused."""

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine, checked_affine, spacing_of
from medsyn2.errors import GeometryError

AFFINE = axis_aligned_affine((2.5, 0.7, 0.8), (-100.0, -120.0, 30.0))


def test_axis_aligned_affine_takes_the_array_index_to_the_world() -> None:
    assert (AFFINE @ [0, 0, 0, 1]).tolist() == [-100.0, -120.0, 30.0, 1.0]
    x, y, z, _ = AFFINE @ [4, 10, 5, 1]
    assert (x, y, z) == pytest.approx((-100.0 + 5 * 0.8, -120.0 + 10 * 0.7, 30.0 + 4 * 2.5))


def test_spacing_is_the_array_axes_also_when_turned() -> None:
    assert spacing_of(AFFINE) == pytest.approx((2.5, 0.7, 0.8))
    cos, sin = np.cos(0.3), np.sin(0.3)
    turn = np.array([[cos, -sin, 0, 5], [sin, cos, 0, -7], [0, 0, 1, 9], [0, 0, 0, 1]])
    assert spacing_of(turn @ AFFINE) == pytest.approx((2.5, 0.7, 0.8))


@pytest.mark.parametrize(
    "bad",
    [
        np.full((4, 4), np.nan),
        np.diag([1.0, 1.0, np.inf, 1.0]),
        np.diag([1.0, 0.0, 1.0, 1.0]),
        np.zeros((4, 4)),
    ],
    ids=["nan", "infinite", "flat", "zero"],
)
def test_what_is_no_affine_is_refused_with_a_remedy(bad: np.ndarray) -> None:
    with pytest.raises(GeometryError, match=r"\[affine-degenerate\].*What to do:"):
        checked_affine(bad)


def test_a_checked_affine_is_a_float64_copy() -> None:
    given = AFFINE.astype(np.float32)
    checked = checked_affine(given)
    given[0, 3] = 1e6
    assert checked.dtype == np.float64
    assert checked[0, 3] == -100.0


def test_volumes_and_label_maps_refuse_a_degenerate_affine() -> None:
    flat = AFFINE.copy()
    flat[:, 0] = 0
    with pytest.raises(GeometryError):
        CTVolume(np.zeros((2, 3, 4), np.int16), flat)
    with pytest.raises(GeometryError):
        LabelMap(np.zeros((2, 3, 4), np.uint8), flat)


def test_the_grid_is_the_volumes_shape_and_affine() -> None:
    for holder in (
        CTVolume(np.zeros((2, 3, 4), np.int16), AFFINE),
        LabelMap(np.zeros((2, 3, 4), bool), AFFINE),
    ):
        assert isinstance(holder.grid, Grid)
        assert holder.grid.shape == holder.shape == (2, 3, 4)
        np.testing.assert_array_equal(holder.grid.affine_mm, AFFINE)
        assert holder.grid.spacing_mm == holder.spacing_mm == pytest.approx((2.5, 0.7, 0.8))


def test_a_volumes_geometry_does_not_follow_the_array_it_was_made_from() -> None:
    given = AFFINE.copy()
    volume = CTVolume(np.zeros((2, 3, 4), np.int16), given)
    given[0, 3] = 0
    assert volume.affine_mm[0, 3] == -100.0


def test_binary_is_one_label_by_name_or_all_of_them() -> None:
    labels = np.array([[[0, 1, 2, 3]]], np.uint8)
    label_map = LabelMap(labels, AFFINE, {1: "left", 2: "right", 3: "left"})
    assert label_map.binary().tolist() == [[[False, True, True, True]]]
    assert label_map.binary("left").tolist() == [[[False, True, False, True]]]
    assert label_map.binary("right").tolist() == [[[False, False, True, False]]]
    with pytest.raises(KeyError, match=r"no label 'heart'.*left.*right"):
        label_map.binary("heart")


def test_a_mask_without_names_is_called_mask() -> None:
    mask = np.array([[[True, False]]])
    assert LabelMap(mask, AFFINE).binary("mask").tolist() == mask.tolist()
