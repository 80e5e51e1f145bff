"""The lungs of an analytic thorax: ellipsoids in a cylinder on a table, whose every part is known."""

from dataclasses import replace

import numpy as np
import pytest

from medsyn2.ct.lungs import LUNG_NAMES, body_air, find_trachea, missing_lung, segment_lungs, smooth_hu
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import InvalidVolumeError

SPACING_MM = 4.0


def ellipsoid(shape: tuple[int, int, int], centre: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Return an ellipsoid; centre and radii in mm from the array's corner."""
    index = np.indices(shape, dtype=np.float32) * SPACING_MM
    return sum(((index[axis] - centre[axis]) / radii[axis]) ** 2 for axis in range(3)) <= 1


def thorax(gap_mm: float = 16.0) -> tuple[CTVolume, np.ndarray]:
    """Return a CT with lungs, trachea, gas in the stomach and a hollow table, and its true lungs."""
    shape = (68, 70, 88)
    depth, height, width = np.indices(shape, dtype=np.float32) * SPACING_MM
    middle = 172.0
    hu = np.full(shape, -1000.0, dtype=np.float32)
    hu[((height - 120) / 95) ** 2 + ((width - middle) / 150) ** 2 <= 1] = 40
    hu[(height >= 232) & (height <= 268) & (np.abs(width - middle) < 150)] = 0
    hu[(height >= 240) & (height <= 260) & (np.abs(width - middle) < 142)] = -900
    right = ellipsoid(shape, (140, 120, middle - 65 - gap_mm / 2), (100, 72, 60))
    left = ellipsoid(shape, (140, 120, middle + 55 + gap_mm / 2), (95, 68, 50))
    hu[right | left] = -850
    trachea = (depth > 150) & ((height - 120) ** 2 + (width - middle) ** 2 <= 9**2)
    hu[trachea & ~right & ~left] = -1000
    hu[ellipsoid(shape, (25, 90, middle + 50), (22, 30, 30)) & ~left] = -1000
    hu += np.random.default_rng(0).normal(scale=15, size=shape)
    volume = CTVolume(hu.astype(np.int16), axis_aligned_affine((SPACING_MM,) * 3, (-middle, -120.0, 30.0)))
    return volume, left.astype(np.uint8) + 2 * right.astype(np.uint8)


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))


@pytest.mark.parametrize("spacing_mm", [3.0, 4.0])
def test_lungs_without_trachea_gas_and_table(spacing_mm: float) -> None:
    volume, truth = thorax()
    found = segment_lungs(volume, spacing_mm)
    assert found.names == LUNG_NAMES
    volume_ml = np.bincount(found.labels.ravel(), minlength=3)[1:] * spacing_mm**3 / 1000
    np.testing.assert_allclose(volume_ml, np.bincount(truth.ravel())[1:] * SPACING_MM**3 / 1000, rtol=0.06)


def test_each_lung_is_on_its_side() -> None:
    volume, truth = thorax()
    found = segment_lungs(volume, SPACING_MM)
    assert overlap(found.labels == 1, truth == 1) > 0.96
    assert overlap(found.labels == 2, truth == 2) > 0.96


def test_touching_lungs_are_parted() -> None:
    volume, truth = thorax(gap_mm=-12.0)
    found = segment_lungs(volume, SPACING_MM)
    assert overlap(found.labels == 1, truth == 1) > 0.94
    assert overlap(found.labels == 2, truth == 2) > 0.94


def test_mirrored_patient_has_mirrored_lungs() -> None:
    volume, _ = thorax()
    found = segment_lungs(volume, SPACING_MM).labels
    mirrored = segment_lungs(replace(volume, hu=volume.hu[:, :, ::-1].copy()), SPACING_MM).labels[:, :, ::-1]
    assert overlap(mirrored == 2, found == 1) > 0.995
    assert overlap(mirrored == 1, found == 2) > 0.995


def test_lungs_follow_the_affine() -> None:
    volume, _ = thorax()
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    straight = segment_lungs(volume, SPACING_MM)
    turned = segment_lungs(CTVolume(volume.hu, turn @ volume.affine_mm), SPACING_MM)
    np.testing.assert_array_equal(turned.labels, straight.labels)
    np.testing.assert_allclose(turned.affine_mm, turn @ straight.affine_mm, atol=1e-9)


def test_a_crop_without_outside_air_or_with_padding_gives_the_same_lungs() -> None:
    volume, truth = thorax()
    crop = (slice(6, 62), slice(10, 50), slice(10, 76))
    padded = volume.hu.copy()
    padded[:, 52:, :] = padded[:, :, 78:] = padded[60:] = -1024
    for hu, expected in ((volume.hu[crop], truth[crop]), (padded, np.where(padded > -1024, truth, 0))):
        found = segment_lungs(CTVolume(np.ascontiguousarray(hu), volume.affine_mm), SPACING_MM)
        assert overlap(found.labels == 1, expected == 1) > 0.94
        assert overlap(found.labels == 2, expected == 2) > 0.94


def test_dense_disease_against_the_pleura_is_lung_and_effusion_is_not() -> None:
    volume, truth = thorax()
    depth = np.arange(volume.shape[0])[:, None, None] * SPACING_MM
    height = np.arange(volume.shape[1])[None, :, None] * SPACING_MM
    hu = volume.hu.copy()
    effusion = (truth == 2) & (height > 130 + 0 * depth)
    hu[effusion] = 10
    spot = ellipsoid(volume.shape, (140, 120, 172 + 55 + 8), (12, 12, 12))
    hu[spot] = 30
    found = segment_lungs(replace(volume, hu=hu), SPACING_MM).labels
    assert overlap(found == 2, (truth == 2) & ~effusion) > 0.94
    assert (found[spot] == 1).all()


@pytest.mark.parametrize("content_hu", [40, -1000])
def test_a_body_without_lungs_is_refused(content_hu: int) -> None:
    volume, truth = thorax()
    hu = np.where(truth > 0, np.int16(40), volume.hu)
    hu[ellipsoid(volume.shape, (140, 120, 172), (60, 40, 50))] = content_hu
    with pytest.raises(InvalidVolumeError) as caught:
        segment_lungs(replace(volume, hu=hu), SPACING_MM)
    assert caught.value.code == "no-lungs"


def with_arms(sides: tuple[int, ...], gap_mm: float, touching: bool = False) -> tuple[CTVolume, np.ndarray]:
    """Return the thorax in a wide field of view with an arm on some sides (-1 right, 1 left), and its true lungs."""
    volume, truth = thorax()
    margin = 30
    wide = ((0, 0), (0, 0), (margin, margin))
    hu = np.pad(volume.hu, wide, constant_values=-1000)
    height = np.arange(hu.shape[1])[:, None] * SPACING_MM
    width = (np.arange(hu.shape[2]) - margin)[None] * SPACING_MM
    for side in sides:
        away = np.hypot(height - 120, width - 172 - side * (150 + gap_mm + 40))
        hu[:, away < 40] = 45
        hu[:, away < 12] = 900
        if touching:  # Skin on skin in front of the gap and behind it
            bridge = (np.abs(width - 172 - side * (152 + gap_mm / 2)) < 24) & (np.abs(np.abs(height - 120) - 26) < 8)
            hu[:, bridge] = 45
    affine = volume.affine_mm.copy()
    affine[0, 3] -= margin * SPACING_MM
    return CTVolume(hu, affine), np.pad(truth, wide)


@pytest.mark.parametrize(
    ("sides", "gap_mm", "touching"),
    [((-1, 1), 4, False), ((-1, 1), 12, False), ((1,), 8, False), ((-1,), 20, False), ((-1, 1), 12, True)],
)
def test_arms_beside_the_chest_change_nothing(sides: tuple[int, ...], gap_mm: float, touching: bool) -> None:
    volume, truth = with_arms(sides, gap_mm, touching)
    found = segment_lungs(volume, SPACING_MM).labels
    assert overlap(found == 1, truth == 1) > 0.96
    assert overlap(found == 2, truth == 2) > 0.96
    trachea = find_trachea(body_air(smooth_hu(volume.hu, SPACING_MM), SPACING_MM).inside, SPACING_MM)
    assert np.nonzero(trachea)[2].mean() == pytest.approx(172 / SPACING_MM + 30, abs=2)


def test_clothes_between_the_arms_are_no_lung() -> None:
    volume, truth = with_arms((-1, 1), 4)
    hu = volume.hu.copy()
    clothes = (hu < -960) & (np.arange(hu.shape[1])[None, :, None] < 30) & (truth == 0)
    clothes &= np.maximum.accumulate(hu > -300, axis=1) == 0
    hu[clothes] = -900
    found = segment_lungs(replace(volume, hu=hu), SPACING_MM).labels
    assert overlap(found > 0, truth > 0) > 0.96


def test_a_table_in_front_of_a_prone_patient_is_no_lung() -> None:
    volume, truth = thorax()
    found = segment_lungs(replace(volume, hu=np.ascontiguousarray(volume.hu[:, ::-1])), SPACING_MM).labels
    assert overlap(found == 1, truth[:, ::-1] == 1) > 0.96
    assert overlap(found == 2, truth[:, ::-1] == 2) > 0.96


@pytest.mark.parametrize("radius_mm", [130, 115, 105])
def test_a_field_of_view_that_cuts_the_lungs_keeps_all_that_it_shows(radius_mm: float) -> None:
    volume, truth = thorax()
    height, width = np.ogrid[: volume.shape[1], : volume.shape[2]]
    outside = np.hypot(SPACING_MM * height - 120, SPACING_MM * width - 172) > radius_mm
    hu = np.where(outside, np.int16(-1024), volume.hu)
    shown = np.where(outside, 0, truth)
    found = segment_lungs(replace(volume, hu=hu), SPACING_MM)
    assert missing_lung(found) is None
    for label in (1, 2):
        assert overlap(found.labels == label, shown == label) > 0.95


@pytest.mark.parametrize(("side", "name"), [(1, "left lung"), (2, "right lung")])
@pytest.mark.parametrize("arms", [False, True])
def test_a_lung_that_is_solid_or_was_removed_is_missing(side: int, name: str, arms: bool) -> None:
    volume, truth = with_arms((-1, 1), 8) if arms else thorax()
    hu = np.where(truth == side, np.int16(25), volume.hu)
    found = segment_lungs(replace(volume, hu=hu), SPACING_MM)
    assert missing_lung(found) == name
    assert overlap(found.labels == 3 - side, truth == 3 - side) > 0.96


def test_a_whole_chest_misses_no_lung() -> None:
    volume, _ = thorax()
    assert missing_lung(segment_lungs(volume, SPACING_MM)) is None


def test_a_false_trachea_beside_the_lungs_is_refuted_by_the_spine() -> None:
    volume, truth = thorax()
    hu = volume.hu.copy()
    height, width = np.ogrid[: hu.shape[1], : hu.shape[2]]
    hu[:, np.hypot(SPACING_MM * height - 120, SPACING_MM * width - 172) <= 10] = 40  # No trachea
    hu[:, np.hypot(SPACING_MM * height - 200, SPACING_MM * width - 172) <= 12] = 400
    hu[20:, np.hypot(SPACING_MM * height - 120, SPACING_MM * width - 32) <= 8] = -1000  # A pocket in the right wall
    hu[truth > 0] = volume.hu[truth > 0]
    found = segment_lungs(replace(volume, hu=hu), SPACING_MM)
    assert missing_lung(found) is None
    assert overlap(found.labels == 1, truth == 1) > 0.9
