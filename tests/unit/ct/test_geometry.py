import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medsyn2.ct.geometry import (
    band_limit,
    canonical,
    isotropic,
    nearest_labels,
    orthonormalize,
    resample_ct,
    resample_mask,
    resample_mask_in_box,
    shear_of,
    to_sitk,
)
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import GeometryError


def oblique(spacing_mm=(2.5, 0.8, 0.7), degrees=(5, -8, 12), first_mm=(-20.0, 5.0, -100.0)):
    affine = axis_aligned_affine(spacing_mm, first_mm)
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ affine[:3, :3]
    return affine


def smooth_noise(shape, seed=0):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.rint(noise / noise.std() * 300 - 300).astype(np.int16)


def world_of(affine, shape):
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def a_transform():
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (4, 9, -7), degrees=True).as_matrix() @ np.diag([1.1, 0.9, 1.05])
    matrix[:3, 3] = (3.0, -2.0, 5.0)
    return matrix


def test_canonical_keeps_every_voxel_where_it_was():
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    affine = np.eye(4)
    affine[:3, :3] = [[0, -0.9, 0], [0, 0, 0.8], [-2.0, 0, 0]]  # axes point down, right and back
    affine[:3, 3] = (7, 8, 9)
    turned, turned_affine = canonical(array, affine)
    before = dict(zip(array.ravel(), world_of(affine, array.shape).reshape(-1, 3).tolist(), strict=True))
    after = dict(zip(turned.ravel(), world_of(turned_affine, turned.shape).reshape(-1, 3).tolist(), strict=True))
    assert before.keys() == after.keys()
    assert all(np.allclose(before[value], after[value]) for value in before)
    assert turned.shape == (4, 6, 5)
    assert (np.diag(turned_affine[[2, 1, 0]][:, :3]) > 0).all()


def canonical_of(image):
    """The voxels of an ITK image and their positions, brought to canonical axes."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return canonical(sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine)


@pytest.mark.parametrize("orientation", [None, "RAS", "LPI", "PIR", "SAL"])
def test_simpleitk_and_back_is_the_same_volume_whatever_its_orientation(orientation):
    volume = CTVolume(smooth_noise((6, 7, 8)), oblique())
    image = to_sitk(volume)
    assert np.allclose(image.TransformIndexToPhysicalPoint((3, 2, 1)), (volume.affine_mm @ (1, 2, 3, 1))[:3])
    hu, affine_mm = canonical_of(image if orientation is None else sitk.DICOMOrient(image, orientation))
    assert np.array_equal(hu, volume.hu)
    assert np.allclose(affine_mm, volume.affine_mm)


def test_resampling_agrees_with_scipy_and_rounds():
    source = CTVolume(smooth_noise((20, 24, 26)), oblique())
    grid = Grid((15, 18, 17), oblique((2.0, 1.1, 1.0), (1, 2, 3), (-18.0, 8.0, -90.0)))
    transform = a_transform()
    to_index = np.linalg.inv(source.affine_mm) @ transform @ grid.affine_mm
    index = world_of(to_index, grid.shape)
    expected = ndimage.map_coordinates(
        source.hu.astype(np.float64), np.moveaxis(index, -1, 0), order=1, mode="constant", cval=np.nan
    )
    inside = ((index > 0) & (index < np.array(source.shape) - 1)).all(axis=-1)
    found = resample_ct(source, grid, transform)
    assert found.hu.dtype == np.int16
    assert inside.mean() > 0.3
    assert np.abs(found.hu[inside] - expected[inside]).max() <= 0.5 + 1e-3
    assert abs(np.mean(found.hu[inside] - expected[inside])) < 0.05  # ITK's own cast would be off by half a HU
    assert np.array_equal(found.affine_mm, grid.affine_mm)


def test_outside_is_air_and_the_identity_changes_nothing():
    source = CTVolume(smooth_noise((8, 9, 10)), oblique())
    assert np.array_equal(resample_ct(source, source.grid).hu, source.hu)
    away = np.eye(4)
    away[0, 3] = 1000.0
    assert (resample_ct(source, source.grid, away).hu == -1024).all()
    assert (resample_ct(source, source.grid, away, outside_hu=-7).hu == -7).all()


def test_a_point_goes_where_the_transform_says():
    hu = np.full((21, 21, 21), -1000, np.int16)
    source = CTVolume(hu, axis_aligned_affine((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    source.hu[8:12, 10:14, 4:8] = 1000
    shift = np.eye(4)
    shift[:3, 3] = (3.0, -2.0, 4.0)  # x, y, z: the template's point to the native one
    moved = resample_ct(source, source.grid, shift)
    centre = ndimage.center_of_mass(moved.hu > 0)
    assert np.allclose(centre, (9.5 - 4, 11.5 + 2, 5.5 - 3))


def test_mask_resampling_is_linear_with_a_threshold():
    mask = np.zeros((16, 16, 16), bool)
    mask[4:12, 5:11, 6:13] = True
    source = LabelMap(mask, axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0)))
    grid = Grid((25, 25, 25), axis_aligned_affine((1.2, 1.2, 1.2), (0.4, 0.3, 0.2)))
    index = world_of(np.linalg.inv(source.affine_mm) @ grid.affine_mm, grid.shape)
    share = ndimage.map_coordinates(mask.astype(float), np.moveaxis(index, -1, 0), order=1, mode="nearest")
    for threshold in (0.3, 0.5, 0.7):
        clear = np.abs(share - threshold) > 1e-4
        found = resample_mask(source, grid, None, threshold)
        assert found.dtype == bool
        assert np.array_equal(found[clear], (share > threshold)[clear])


@pytest.mark.parametrize("place", [(10, 12, 14), (0, 0, 0), (22, 28, 31), None])
def test_part_of_the_grid_that_a_mask_reaches_holds_all_of_it(place):
    """The whole indicator through the whole grid, by ITK alone, is the reference; also at the borders of the source."""
    labels = np.zeros((26, 32, 36), np.uint8)
    if place is not None:
        labels[tuple(slice(start, start + 4) for start in place)] = 3
    source = LabelMap(labels, oblique((2.0, 0.9, 0.8), (10, -12, 25), (-20.0, -20.0, -20.0)))
    grid = Grid((50, 50, 52), axis_aligned_affine((1.2, 1.2, 1.1), (-45.0, -40.0, -30.0)))
    image, transform = to_sitk(LabelMap((labels != 0).astype(np.uint8), source.affine_mm)), a_transform()
    whole = sitk.Resample(
        image,
        to_sitk(LabelMap(np.zeros(grid.shape, np.uint8), grid.affine_mm)),
        sitk.AffineTransform(transform[:3, :3].ravel().tolist(), transform[:3, 3].tolist()),
        sitk.sitkLinear,
        0.0,
        sitk.sitkFloat32,
    )
    for threshold in (0.2, 0.5, 0.8):
        expected = sitk.GetArrayFromImage(whole) > threshold
        assert expected.any() == (place is not None)
        assert np.array_equal(resample_mask(source, grid, transform, threshold), expected)
        box, inside = resample_mask_in_box(source, grid, transform, threshold)
        assert np.array_equal(inside, expected[box])
        assert inside.size < expected.size / 4


def test_a_ball_keeps_its_centre_and_size_through_an_oblique_grid():
    affine = oblique((2.0, 0.9, 0.8), (10, -12, 25), (-40.0, -40.0, -40.0))
    shape = (44, 90, 100)
    centre = affine[:3, :3] @ (np.array(shape) / 2) + affine[:3, 3]
    ball = np.linalg.norm(world_of(affine, shape) - centre, axis=-1) < 12
    grid = Grid((60, 60, 60), axis_aligned_affine((1.0, 1.0, 1.0), tuple(centre - 30)))
    found = resample_mask(LabelMap(ball, affine), grid)
    found_centre = world_of(grid.affine_mm, grid.shape)[found].mean(axis=0)
    assert np.linalg.norm(found_centre - centre) < 0.5
    assert found.sum() == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.03)


def test_nearest_labels_invents_no_label():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[2:5], labels[5:8] = 1, 5
    source = LabelMap(labels, axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0)), {1: "a", 5: "b"})
    grid = Grid((30, 20, 20), axis_aligned_affine((1.0, 1.0, 1.0), (-0.5, -0.5, -5.5)))
    found = nearest_labels(source, grid)
    assert found.labels.dtype == np.uint8
    assert set(np.unique(found.labels)) == {0, 1, 5}
    assert found.names == source.names
    assert (found.labels[:5] == 0).all()  # below the source


def test_band_limiting_changes_nothing_on_a_finer_grid():
    volume = CTVolume(smooth_noise((8, 9, 10)), oblique())
    assert np.array_equal(band_limit(volume, (1.0, 0.5, 0.5)).hu, volume.hu)


def test_averaged_blocks_lie_at_their_centres():
    ramp = world_of(oblique((1.0, 1.0, 1.0)), (24, 24, 24)) @ (10.0, -7.0, 5.0)
    volume = CTVolume(np.rint(ramp).astype(np.int16), oblique((1.0, 1.0, 1.0)))
    coarse = band_limit(volume, (3.0, 4.0, 2.0))
    assert coarse.shape == (8, 6, 12)
    expected = world_of(coarse.affine_mm, coarse.shape) @ (10.0, -7.0, 5.0)
    assert np.abs(coarse.hu - expected).max() <= 1.5


def test_isotropic_covers_the_box_and_removes_what_would_alias():
    fine = np.indices((40, 60, 60)).sum(axis=0) % 2 * 2000 - 1000
    volume = CTVolume(fine.astype(np.int16), oblique((1.0, 1.0, 1.0)))
    coarse = isotropic(volume, 4.0)
    assert coarse.shape == (10, 15, 15)
    assert np.allclose(coarse.spacing_mm, 4.0)
    assert np.abs(coarse.hu).max() < 60  # a bare linear interpolation would give up to 1000
    centre = [(np.array(v.affine_mm) @ (*(np.array(v.shape) / 2 - 0.5), 1))[:3] for v in (volume, coarse)]
    assert np.allclose(*centre)


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 3.1, 4.0])
def test_isotropic_keeps_a_smooth_image(spacing_mm):
    affine = oblique((2.5, 0.8, 0.7))
    shape = (40, 100, 110)
    wave = 300 * np.sin(world_of(affine, shape) @ (0.05, 0.06, 0.04)) - 200
    coarse = isotropic(CTVolume(np.rint(wave).astype(np.int16), affine), spacing_mm)
    expected = 300 * np.sin(world_of(coarse.affine_mm, coarse.shape) @ (0.05, 0.06, 0.04)) - 200
    inner = (slice(2, -2),) * 3
    assert np.abs(coarse.hu - expected)[inner].max() < 8


def test_slight_skew_is_repaired_and_more_is_refused():
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    affine[0, 1] = 5e-4
    repaired, shear = orthonormalize(affine, "case")
    assert shear == pytest.approx(5e-4, rel=1e-3)
    assert shear_of(repaired) < 1e-12
    affine[0, 1] = 0.05
    with pytest.raises(GeometryError, match="affine-sheared"):
        orthonormalize(affine, "case")


@pytest.mark.parametrize("is_synthetic", [True, False])
@pytest.mark.parametrize("move", [lambda ct: resample_ct(ct, ct.grid), lambda ct: isotropic(ct, 2.1)])
def test_a_synthetic_volume_stays_one_on_another_grid(move, is_synthetic):
    hu = np.zeros((6, 7, 8), np.int16)
    assert move(CTVolume(hu, oblique((1.0, 1.0, 1.0)), is_synthetic)).is_synthetic is is_synthetic
