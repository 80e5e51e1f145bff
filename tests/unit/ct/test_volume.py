"""A volume and its geometry: what the affine means, and which ones are refused."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import read_ct, read_labels, write_ct
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine, check_affine, spacing_of
from medsyn2.ct.volume import _window_hu as volume_window_hu
from medsyn2.errors import ConfigError, GeometryError, InvalidVolumeError, MaskError
from medsyn2.vocabulary import WINDOWS_HU

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
    [np.full((4, 4), np.nan), np.diag([1.0, 1.0, np.inf, 1.0]), np.diag([1.0, 0.0, 1.0, 1.0]), np.zeros((4, 4))],
    ids=["nan", "infinite", "flat", "zero"],
)
def test_what_is_no_affine_is_refused_with_a_remedy(bad: np.ndarray) -> None:
    with pytest.raises(GeometryError, match=r"\[affine-degenerate\].*What to do:"):
        check_affine(bad)


def test_a_checked_affine_is_a_float64_copy() -> None:
    given = AFFINE.astype(np.float32)
    checked = check_affine(given)
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
    for holder in (CTVolume(np.zeros((2, 3, 4), np.int16), AFFINE), LabelMap(np.zeros((2, 3, 4), bool), AFFINE)):
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


def ct(value: int = 0) -> CTVolume:
    hu = np.full((2, 3, 4), -1000, np.int16)
    hu[1, 2, 3] = value
    return CTVolume(hu, AFFINE)


def labels(dtype: type = np.uint8) -> LabelMap:
    array = np.zeros((2, 3, 4), dtype)
    array[0, 1, 1:3] = 1
    return LabelMap(array, AFFINE, {1: "heart"})


def test_each_prints_one_line() -> None:
    assert repr(ct(40)) == "CTVolume(2 x 3 x 4 voxels of 2.5 x 0.7 x 0.8 mm, int16, -1000 to 40 HU)"
    assert repr(labels()) == "LabelMap(2 x 3 x 4 voxels of 2.5 x 0.7 x 0.8 mm, uint8, 8.33% labelled: 1 heart)"
    assert repr(ct().grid) == "Grid(2 x 3 x 4 voxels of 2.5 x 0.7 x 0.8 mm)"


def test_equal_are_those_of_equal_voxels_in_the_same_place() -> None:
    assert ct() == ct()
    assert ct() == CTVolume(ct().hu.astype(np.float32), AFFINE)
    assert ct() != ct(1)
    assert labels() == labels(bool)
    assert labels() != LabelMap(labels().labels, AFFINE, {1: "lungs"})
    assert ct().grid == labels().grid
    shifted = AFFINE.copy()
    shifted[0, 3] += 1
    assert ct() != CTVolume(ct().hu, shifted)
    assert ct() != labels()
    assert ct() != "a volume"
    for one in (ct(), labels(), ct().grid):
        with pytest.raises(TypeError, match="unhashable"):
            hash(one)


def test_whole_numbers_of_a_float_type_become_labels() -> None:
    assert labels(np.float64) == labels()
    assert labels(np.float64).labels.dtype == np.uint8
    assert LabelMap(np.full((1, 1, 1), 300.0), AFFINE).labels.dtype == np.uint16


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf, 1j, 70000.0])
def test_what_is_no_label_is_refused(value: complex) -> None:
    with pytest.raises(MaskError, match=r"\[labels-not-labels\].*expected an array of whole numbers"):
        LabelMap(np.full((2, 2, 2), value), AFFINE)


def test_a_complex_ct_is_refused() -> None:
    with pytest.raises(InvalidVolumeError, match=r"\[volume-array\].*complex128"):
        CTVolume(np.zeros((2, 2, 2), complex), AFFINE)


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    ct(40).save(tmp_path / "ct.nii.gz", description="SYNTHETIC")
    labels().save(str(tmp_path / "labels.nii.gz"))
    np.testing.assert_array_equal(read_ct(tmp_path / "ct.nii.gz").hu, ct(40).hu)
    assert read_labels(tmp_path / "labels.nii.gz", {1: "heart"}).names == {1: "heart"}
    write_ct(tmp_path / "same.nii.gz", ct(40), description="SYNTHETIC")
    assert (tmp_path / "same.nii.gz").read_bytes() == (tmp_path / "ct.nii.gz").read_bytes()


def test_a_plot_has_three_planes_in_a_window_with_contours() -> None:
    figure = ct().plot(window="bone", contour=labels())
    assert [axes.get_title().split()[0] for axes in figure.axes] == ["axial", "coronal", "sagittal"]
    assert figure.axes[0].images[0].get_clim() == WINDOWS_HU["bone"]
    assert figure.axes[0].get_title() == "axial 0"  # where the heart is
    assert "heart" in [text.get_text() for text in figure.texts]
    assert ct().plot(window=(-100, 200), title="mine").axes[0].images[0].get_clim() == (-100, 200)
    assert len(labels().plot().axes) == 3


def test_a_plot_of_another_window_or_grid_is_refused() -> None:
    with pytest.raises(ConfigError, match="window-unknown"):
        volume_window_hu("liver")
    other = LabelMap(np.zeros((2, 3, 5), np.uint8), AFFINE)
    with pytest.raises(GeometryError, match="grids-differ"):
        ct().plot(contour=other)
