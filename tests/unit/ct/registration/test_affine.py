"""Known affines of phantoms and of real CTs are found again; wrong orientations and parts of chests are refused."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medsyn2.config import RegisterConfig
from medsyn2.ct.geometry import nearest_labels, resample_ct
from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.registration.affine import (
    ChestCT,
    grid_box_mm,
    lung_box_mm,
    register_affine,
    register_within_gates,
    resample_to_grid,
    working_ct,
    working_template,
)
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import RegistrationError
from medsyn2.phantoms import draw_acquisition, draw_subject, scan

ROOT = Path(__file__).parents[4]
ABDOMEN = "bad/abdomen_lungbase_CRLM-CT-1006_3mm.nii.gz"
SPACING_MM = 5.0
GATES = RegisterConfig(working_spacing_mm=SPACING_MM)


def benchmark() -> ModuleType:
    """The benchmark whose numbers the README quotes; here it has to keep them."""
    spec = importlib.util.spec_from_file_location("registration_benchmark", ROOT / "benchmarks/registration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def phantom(number: int) -> CTVolume:
    subject = draw_subject(0, number)
    return scan(subject, draw_acquisition(subject, 4.0)).volume


@pytest.fixture(scope="module")
def volume() -> CTVolume:
    return phantom(7)


@pytest.fixture(scope="module")
def fixed(volume: CTVolume) -> ChestCT:
    return working_ct(volume, SPACING_MM)


@pytest.fixture(scope="module")
def other() -> ChestCT:
    return working_ct(phantom(3), SPACING_MM)


def moved(volume: CTVolume, affine: np.ndarray) -> CTVolume:
    """The volume moved by `affine`, on a grid with room around it."""
    grid = Grid((90, 120, 120), axis_aligned_affine((4.0, 4.0, 4.0), (-240.0, -240.0, -180.0)))
    centre = volume.affine_mm @ [*((np.array(volume.shape) - 1) / 2), 1.0]
    back = np.linalg.inv(affine)
    back[:3, 3] += centre[:3]
    return resample_ct(volume, grid, back)


def to_moved(volume: CTVolume, affine: np.ndarray) -> np.ndarray:
    centre = volume.affine_mm @ [*((np.array(volume.shape) - 1) / 2), 1.0]
    shift = np.eye(4)
    shift[:3, 3] = -centre[:3]
    return affine @ shift


def flipped(volume: CTVolume, *axes: int) -> CTVolume:
    return CTVolume(np.ascontiguousarray(np.flip(volume.hu, axes)), volume.affine_mm)


def errors_mm(thorax: ChestCT, found: np.ndarray, true: np.ndarray) -> np.ndarray:
    difference = found - true
    return np.linalg.norm(thorax.lung_points_mm @ difference[:3, :3].T + difference[:3, 3], axis=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_known_affine_is_found_again(volume: CTVolume, fixed: ChestCT, seed: int) -> None:
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    axis = rng.normal(size=3)
    rotation = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.radians(14)).as_matrix()
    affine[:3, :3] = rotation @ np.diag(rng.uniform(0.87, 1.15, size=3))
    affine[:3, 3] = rng.uniform(-30, 30, size=3)
    found = register_affine(working_ct(moved(volume, affine), SPACING_MM), fixed, seed=0)
    error = errors_mm(fixed, found.template_to_native_lps_mm, to_moved(volume, affine))
    assert np.median(error) < 1.0
    assert found.lung_dice > 0.94
    assert found.similarity > 0.94
    assert found.rotation_deg == pytest.approx(14, abs=1.0)


def test_of_a_thorax_with_itself_is_the_identity(fixed: ChestCT) -> None:
    found = register_affine(fixed, fixed, seed=0)
    assert errors_mm(fixed, found.template_to_native_lps_mm, np.eye(4)).max() < 0.1
    assert found.lung_dice > 0.995
    assert found.lung_inside == found.lung_covered == 1.0
    assert found.best_orientation == "as given"
    assert found.lung_ml == pytest.approx(fixed.lung_ml)


def test_same_bits_whatever_the_number_of_threads(fixed: ChestCT, other: ChestCT) -> None:
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = []
    try:
        for threads in (1, 2):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            fresh = [ChestCT(thorax.volume, thorax.lungs) for thorax in (other, fixed)]
            found.append(register_affine(*fresh, seed=0))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert found[0].facts() == found[1].facts()


def test_where_the_scanner_s_origin_is_does_not_matter(fixed: ChestCT, other: ChestCT) -> None:
    shift = np.eye(4)
    shift[:3, 3] = (300.0, -500.0, 1200.0)
    far = ChestCT(
        CTVolume(other.volume.hu, shift @ other.volume.affine_mm),
        LabelMap(other.lungs.labels, shift @ other.lungs.affine_mm, other.lungs.names),
    )
    here, there = (register_affine(thorax, fixed, seed=0) for thorax in (other, far))
    expected = shift @ here.template_to_native_lps_mm
    assert np.median(errors_mm(fixed, there.template_to_native_lps_mm, expected)) < 0.5


@pytest.mark.parametrize(
    ("axes", "code"),
    [
        ((0,), "upside-down"),
        ((0, 2), "upside-down"),
        ((0, 1), "upside-down"),
        ((1,), "back-to-front"),
        ((1, 2), "back-to-front"),
    ],
)
def test_wrong_orientation_is_told(volume: CTVolume, other: ChestCT, axes: tuple[int, ...], code: str) -> None:
    wrong = working_ct(flipped(volume, *axes), SPACING_MM)
    with pytest.raises(RegistrationError) as caught:
        register_within_gates(wrong, other, GATES)
    assert caught.value.code == code


def test_mirrored_sides_are_seen(volume: CTVolume, fixed: ChestCT) -> None:
    found = register_affine(working_ct(flipped(volume, 2), SPACING_MM), fixed, seed=0)
    assert found.best_orientation == "left-right"


def test_a_mirrored_chest_seems_so_and_one_that_is_right_does_not(volume: CTVolume, other: ChestCT) -> None:
    assert not register_affine(working_ct(volume, SPACING_MM), other, seed=0).seems_mirrored
    assert register_affine(working_ct(flipped(volume, 2), SPACING_MM), other, seed=0).seems_mirrored


@pytest.mark.realdata
def test_a_mirrored_real_ct_seems_so(real_data: Path) -> None:
    template, case = (read_ct(real_data / f"ct/{name}.nii.gz") for name in ("R01-001", "LIDC-IDRI-0001"))
    reference = working_ct(template, SPACING_MM)
    for volume, expected in ((case, False), (flipped(case, 2), True)):
        found = register_affine(working_ct(volume, SPACING_MM), reference, seed=0)
        assert found.seems_mirrored == expected, found.orientation


def test_part_of_a_chest_is_refused(volume: CTVolume, fixed: ChestCT) -> None:
    low = CTVolume(volume.hu[: volume.shape[0] // 2], volume.affine_mm)
    with pytest.raises(RegistrationError) as caught:
        register_within_gates(working_ct(low, SPACING_MM), fixed, GATES)
    assert caught.value.code == "lungs-cut-off"


def test_intensities_help_where_the_lung_mask_misleads(fixed: ChestCT, other: ChestCT) -> None:
    """Half of one lung missing from the mask, as under an effusion, bends the fit of the masks."""
    labels = other.lungs.labels.copy()
    low = labels.shape[0] // 2
    labels[:low][labels[:low] == 1] = 0
    damaged = ChestCT(other.volume, LabelMap(labels, other.lungs.affine_mm, other.lungs.names))
    first = register_affine(damaged, fixed, seed=0)
    strict = replace_gate(first.similarity + 0.01)
    found = register_within_gates(damaged, fixed, strict)
    assert found.start == "boxes"
    assert found.similarity > first.similarity
    assert found.orientation == first.orientation
    with pytest.raises(RegistrationError, match=f"{first.similarity:.2f}"):
        register_within_gates(damaged, fixed, replace_gate(0.99))


def replace_gate(min_similarity: float) -> RegisterConfig:
    return GATES.model_copy(update={"min_similarity": min_similarity, "min_lung_dice": 0.3})


def test_boxes_include_the_voxels_edges() -> None:
    labels = np.zeros((5, 6, 7), dtype=np.uint8)
    labels[1:3, 2, 4:7] = 1
    lungs = LabelMap(labels, axis_aligned_affine((4.0, 3.0, 2.0), (10.0, 20.0, 30.0)))
    low, high = lung_box_mm(lungs)
    np.testing.assert_allclose(low, [10 + 2 * 3.5, 20 + 3 * 1.5, 30 + 4 * 0.5])
    np.testing.assert_allclose(high, [10 + 2 * 6.5, 20 + 3 * 2.5, 30 + 4 * 2.5])
    low, high = grid_box_mm(lungs.grid)
    np.testing.assert_allclose(high - low, [14.0, 18.0, 20.0])


def test_to_a_finer_grid_is_one_linear_interpolation(volume: CTVolume) -> None:
    grid = Grid((40, 50, 60), axis_aligned_affine((3.0, 3.0, 3.0), (-90.0, -75.0, -60.0)))
    matrix = to_moved(volume, np.eye(4))
    matrix = np.linalg.inv(matrix)
    np.testing.assert_array_equal(
        resample_to_grid(volume, grid, matrix).hu, resample_ct(volume, grid, matrix, outside_hu=-1024).hu
    )


def test_a_much_coarser_grid_averages_the_noise() -> None:
    noise = np.random.default_rng(0).normal(scale=100, size=(60, 60, 60))
    volume = CTVolume(noise.astype(np.int16), axis_aligned_affine((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    grid = Grid((12, 12, 12), axis_aligned_affine((4.0, 4.0, 4.0), (6.0, 6.0, 6.0)))
    assert resample_to_grid(volume, grid, np.eye(4)).hu.std() < 100 / 4**1.5 * 1.5
    shrinking = np.diag([0.25, 0.25, 0.25, 1.0])  # four template millimetres are one of the CT
    # Half-way between voxels, interpolation alone leaves 100 / sqrt(8); averaging would leave 12.
    assert resample_to_grid(volume, grid, shrinking).hu.std() == pytest.approx(100 / 8**0.5, rel=0.1)


def test_template_s_lungs_stay_its_own(fixed: ChestCT) -> None:
    template = working_template(fixed.volume, fixed.lungs, SPACING_MM)
    np.testing.assert_array_equal(template.lungs.labels, fixed.lungs.labels)
    assert template.lungs.names == fixed.lungs.names


@pytest.mark.parametrize("side", [1, 2])
def test_a_single_lung_is_registered_to_its_own_side(volume: CTVolume, fixed: ChestCT, side: int) -> None:
    lungs = nearest_labels(fixed.lungs, volume.grid).labels
    hu = np.where(ndimage.binary_dilation(lungs == side, iterations=2), np.int16(20), volume.hu)
    found = register_within_gates(working_ct(CTVolume(hu, volume.affine_mm), SPACING_MM), fixed, GATES)
    assert errors_mm(fixed, found.template_to_native_lps_mm, np.eye(4)).max() < 5


def test_a_single_lung_that_fails_is_named(volume: CTVolume, fixed: ChestCT) -> None:
    hu = np.where(nearest_labels(fixed.lungs, volume.grid).labels == 1, np.int16(20), volume.hu)
    case = working_ct(CTVolume(hu, volume.affine_mm), SPACING_MM)
    with pytest.raises(RegistrationError, match="next to nothing of the left lung") as caught:
        register_within_gates(case, fixed, replace_gate(0.999))
    assert caught.value.code == "one-lung"


@pytest.mark.parametrize("radius_mm", [130, 115])
def test_a_field_of_view_that_cuts_the_lungs_changes_neither_fit_nor_similarity(
    volume: CTVolume, fixed: ChestCT, radius_mm: float
) -> None:
    middle = (fixed.lung_points_mm.min(axis=0) + fixed.lung_points_mm.max(axis=0)) / 2
    corner, spacing = volume.affine_mm[:3, 3], volume.spacing_mm
    y = corner[1] + spacing[1] * np.arange(volume.shape[1])[:, None] - middle[1]
    x = corner[0] + spacing[2] * np.arange(volume.shape[2])[None] - middle[0]
    hu = np.where(np.hypot(x, y) > radius_mm, np.int16(-1024), volume.hu)
    case = working_ct(CTVolume(hu, volume.affine_mm), SPACING_MM)
    assert case.visible is not None
    found = register_within_gates(case, fixed, GATES)
    assert errors_mm(fixed, found.template_to_native_lps_mm, np.eye(4)).max() < 5
    assert found.similarity > 0.98
    assert found.lung_covered < 1.0


@pytest.mark.realdata
@pytest.mark.parametrize("num_cases", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_known_affines_of_real_cts_are_found_again(real_data: Path, real_cts: list[Path], num_cases: int) -> None:
    results = benchmark().outcomes(real_cts, read_ct(real_data / ABDOMEN), num_cases, 4.0)
    assert max(result.median_mm for result in results) < 1.0
    assert max(result.cpu_s for result in results) < 20.0


@pytest.mark.realdata
def test_real_upside_down_chest_and_abdomen_are_refused(real_data: Path, real_cts: list[Path]) -> None:
    gates = RegisterConfig()
    template = working_ct(read_ct(real_cts[4]), gates.working_spacing_mm)
    chest = read_ct(real_cts[0])
    assert register_within_gates(working_ct(chest, 4.0), template, gates).lung_dice > 0.85
    for wrong, code in ((flipped(chest, 0), "upside-down"), (read_ct(real_data / ABDOMEN), "lungs-cut-off")):
        with pytest.raises(RegistrationError) as caught:
            register_within_gates(working_ct(wrong, 4.0), template, gates)
        assert caught.value.code == code
