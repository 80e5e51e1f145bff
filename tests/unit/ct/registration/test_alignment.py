"""The numbers of an affine, and each gate."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medsyn2.config import RegisterConfig
from medsyn2.ct.registration.alignment import AS_GIVEN, Alignment, check_alignment
from medsyn2.errors import RegistrationError

GATES = RegisterConfig()
ORIENTATION = {AS_GIVEN: 0.9, "left-right": 0.8, "front-back": 0.7, "up-down": 0.5}


def alignment(**changes) -> Alignment:
    values = {
        "template_to_native_lps_mm": np.eye(4),
        "lung_dice": 0.9,
        "lung_inside": 1.0,
        "lung_covered": 1.0,
        "lung_ml": 4000.0,
        "similarity": 0.9,
        "orientation": ORIENTATION,
    }
    return Alignment(**{**values, **changes})


def affine(matrix: np.ndarray) -> np.ndarray:
    whole = np.eye(4)
    whole[:3, :3] = matrix
    return whole


@pytest.mark.parametrize("angle_deg", [0.0, 7.5, 40.0])
def test_rotation_and_scales_of_a_product_are_its_factors(angle_deg: float) -> None:
    rotation = Rotation.from_rotvec(np.radians(angle_deg) * np.array([2.0, -1.0, 2.0]) / 3).as_matrix()
    found = alignment(template_to_native_lps_mm=affine(rotation @ np.diag([1.2, 0.8, 1.0])))
    assert found.rotation_deg == pytest.approx(angle_deg, abs=1e-5)
    assert found.scales == pytest.approx((1.2, 1.0, 0.8))


def test_good_alignment_passes() -> None:
    check_alignment(alignment(), GATES)


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"lung_ml": 300.0}, "lungs-too-small", "register.min_lung_ml"),
        ({"lung_covered": 0.5}, "lungs-cut-off", "register.min_lung_covered"),
        ({"orientation": {**ORIENTATION, "up-down": 0.95}}, "upside-down", "up-down"),
        ({"orientation": {**ORIENTATION, "front-back": 0.95}}, "back-to-front", "front-back"),
        ({"template_to_native_lps_mm": affine(np.diag([1, 1, 0.5]))}, "scale-implausible", "register.scale_range"),
        ({"template_to_native_lps_mm": affine(np.diag([1, 1, -1.0]))}, "scale-implausible", "reflection"),
        (
            {"template_to_native_lps_mm": affine(Rotation.from_euler("z", 35, degrees=True).as_matrix())},
            "rotation-large",
            "35.0",
        ),
        ({"lung_dice": 0.5}, "lung-dice-low", "register.min_lung_dice"),
        ({"similarity": 0.4}, "similarity-low", "register.min_similarity"),
        ({"lung_inside": 0.9}, "lungs-outside-grid", "register.min_lung_inside"),
    ],
)
def test_each_gate_names_its_number_and_what_to_do(changes: dict, code: str, named: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        check_alignment(alignment(**changes), GATES)
    assert caught.value.code == code
    assert named in caught.value.message
    assert len(caught.value.remedy) > 20


def test_left_right_mirrored_is_shown_and_not_refused() -> None:
    found = alignment(orientation={**ORIENTATION, "left-right": 0.95})
    check_alignment(found, GATES)
    assert found.best_orientation == "left-right"
    assert found.seems_mirrored


def test_sides_that_are_alike_do_not_make_a_ct_seem_mirrored() -> None:
    assert not alignment(orientation={**ORIENTATION, "left-right": 0.91}).seems_mirrored
    assert not alignment(orientation={}).seems_mirrored


def test_facts_are_plain_numbers() -> None:
    found = alignment()
    facts = found.facts()
    np.testing.assert_array_equal(facts.template_to_native_lps_mm, found.template_to_native_lps_mm)
    assert facts.scales == (1.0, 1.0, 1.0)
    assert facts.orientation == ORIENTATION
