from itertools import product

import numpy as np
import pytest

from medsyn2.ct.anatomy.evidence import LEFT
from medsyn2.ct.anatomy.judgement import NO_ANATOMY, collect, judge_anatomy, side_of

FINDINGS = ("upside-down", "back-to-front", "mirrored")


@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
def test_each_of_the_flips_is_named(view, flips) -> None:
    expected = tuple(finding for finding, flip in zip(FINDINGS, flips, strict=True) if flip)
    assert judge_anatomy(view.turn((0, 1, 2), flips)).findings == expected


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_another_order_of_the_axes_is_named(view, order, flips) -> None:
    assert judge_anatomy(view.turn(order, flips)).findings == ("axes-turned",)


def test_a_ct_without_lungs_tells_nothing() -> None:
    assert judge_anatomy(None) == NO_ANATOMY
    assert NO_ANATOMY.findings == ()


def with_arms(hu: np.ndarray) -> np.ndarray:
    """Put a cylinder with a bone on each side of the chest, a voxel from it."""
    wide = np.pad(hu, ((0, 0), (0, 0), (16, 16)), constant_values=-1000)
    row, column = np.ogrid[: wide.shape[1], : wide.shape[2]]
    for centre in (8, wide.shape[2] - 9):
        away = np.hypot(row - wide.shape[1] / 2, column - centre)
        wide[:, away < 6] = 45
        wide[:, away < 2] = 900
    return wide


def inside_a_circle(hu: np.ndarray) -> np.ndarray:
    """Cut the field of view to a circle that leaves a part of the chest wall out."""
    row, column = np.ogrid[: hu.shape[1], : hu.shape[2]]
    away = np.hypot(row - hu.shape[1] / 2, column - hu.shape[2] / 2)
    return np.where(away > 0.36 * hu.shape[2], -2000, hu).astype(np.int16)


def white_lung(hu: np.ndarray, is_left: bool) -> np.ndarray:
    """Fill the air of one half of the body with fluid."""
    half = np.arange(hu.shape[2]) >= hu.shape[2] / 2
    body = np.zeros(hu.shape, bool)
    body[:, 12:-12, 8:-8] = True
    return np.where((hu < -300) & body & (half if is_left else ~half), 30, hu).astype(np.int16)


UNUSUAL = {
    "arms beside the chest": with_arms,
    "a small field of view": inside_a_circle,
    "a white left lung": lambda hu: white_lung(hu, True),
    "a white right lung": lambda hu: white_lung(hu, False),
    "hazy lungs": lambda hu: np.where((hu < -600) & (hu > -930), hu + 250, hu).astype(np.int16),
    "osteoporosis": lambda hu: np.where(hu > 80, 80 + 0.4 * (hu - 80), hu).astype(np.int16),
    "noise": lambda hu: (hu + np.random.default_rng(0).normal(0, 100, hu.shape)).astype(np.int16),
    "the lungs alone": lambda hu: hu[6:-6, 12:-12, 8:-8],
    "a long scan": lambda hu: np.concatenate([np.broadcast_to(hu[:1], (40, *hu.shape[1:])), hu]),
    "thick slices": lambda hu: hu[::2],
    "the base alone": lambda hu: hu[: len(hu) // 2],
    "the top alone": lambda hu: hu[len(hu) // 2 :],
}
REFUSED = {"axes-turned", "upside-down", "back-to-front", "chest-repeated"}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_patient_is_not_taken_for_a_wrong_header(chest, view_of, name) -> None:
    depth, height, width = chest.spacing_mm
    spacing = (2 * depth, height, width) if name == "thick slices" else chest.spacing_mm
    assert not REFUSED & set(judge_anatomy(view_of(UNUSUAL[name](chest.hu), spacing)).findings)


@pytest.mark.parametrize("size", [0.45, 0.62, 1.15])
def test_a_child_and_a_tall_man_are_judged_alike(chest, view_of, size) -> None:
    depth, height, width = (size * spacing for spacing in chest.spacing_mm)
    spacing = (depth, height, width)
    assert judge_anatomy(view_of(chest.hu, spacing)).findings == ()
    assert "upside-down" in judge_anatomy(view_of(chest.hu[::-1], spacing)).findings


def test_a_part_of_a_chest_and_a_single_lung_are_named(chest, view_of) -> None:
    assert "lungs-cut" in judge_anatomy(view_of(chest.hu[len(chest.hu) // 2 :], chest.spacing_mm)).findings
    assert "one-lung" in judge_anatomy(view_of(white_lung(chest.hu, True), chest.spacing_mm)).findings


@pytest.mark.parametrize(
    ("scores", "side"),
    [
        ({}, 0),
        ({"heart": 1.0}, 0),
        ({"heart": 1.0, "liver": 0.1}, 0),
        ({"heart": 0.4, "liver": 0.4}, 0),
        ({"heart": 0.7, "liver": 0.4}, 1),
        ({"heart": -0.7, "liver": -0.4}, -1),
        ({"heart": -1.0, "liver": -1.0, "aorta": 0.9}, -1),
        ({"heart": -1.0, "liver": -0.4, "aorta": 1.0}, 0),
    ],
)
def test_one_piece_of_evidence_decides_nothing(scores, side) -> None:
    assert side_of(scores, LEFT) == side


def test_absent_evidence_is_left_out(view) -> None:
    assert collect({"seen": lambda _: 0.5, "absent": lambda _: None}, view) == {"seen": 0.5}
