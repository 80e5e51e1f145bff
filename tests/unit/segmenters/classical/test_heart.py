"""The heart is found where it must be, in phantoms and in a plain chest."""

import numpy as np
import pytest

from medsyn2.ct.geometry import nearest_labels
from medsyn2.ct.volume import axis_aligned_affine
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.segmenters.classical.heart import find_heart
from medsyn2.segmenters.classical.thorax import LEFT, RIGHT, Thorax, thorax_of

SPACING_MM = 4.0


def chest(heart_mm: tuple[float, float, float] = (72.0, 88.0, 96.0)) -> tuple[Thorax, np.ndarray]:
    """Return a plain chest and its heart, an ellipsoid in mediastinal fat between two lungs, spine behind."""
    shape = (64, 56, 80)
    hu = np.full(shape, -90, np.int16)
    lungs = np.zeros(shape, np.uint8)
    lungs[8:56, 8:48, 6:24] = RIGHT
    lungs[8:56, 8:48, 56:74] = LEFT
    hu[lungs > 0] = -850
    hu[:, 40:50, 36:45] = 400
    depth, height, width = (round(size / SPACING_MM) for size in heart_mm)
    places = np.indices(shape) - np.array([14, 12, 28])[:, None, None, None]
    radii = np.array([depth, height, width])[:, None, None, None] / 2
    heart = (((places + 0.5 - radii) / radii) ** 2).sum(axis=0) <= 1
    hu[heart] = 45
    return Thorax(hu, lungs, axis_aligned_affine((SPACING_MM,) * 3, (0.0, 0.0, 0.0)), SPACING_MM), heart


@pytest.mark.parametrize("index", [3, 10])
def test_the_heart_of_a_phantom(index):
    subject = draw_subject(0, index)
    phantom = scan(subject, draw_acquisition(subject, SPACING_MM))
    thorax = thorax_of(phantom.volume, SPACING_MM)
    found = find_heart(thorax)
    truth = nearest_labels(phantom.truth["heart"], thorax.grid).labels > 0
    assert dice(found, truth) >= 0.7
    assert not (found & thorax.lung).any()


def test_the_heart_of_a_plain_chest():
    thorax, heart = chest()
    found = find_heart(thorax)
    assert dice(found, heart) > 0.9
    assert not (found & ~heart & (thorax.hu < 0)).any()
    assert not (found & (thorax.hu > 300)).any()


def test_the_heart_of_a_mirrored_chest_is_mirrored():
    thorax, _ = chest()
    sides = np.array([0, RIGHT, LEFT], np.uint8)[thorax.lungs[:, :, ::-1]]
    mirrored = Thorax(
        np.ascontiguousarray(thorax.hu[:, :, ::-1]), np.ascontiguousarray(sides), thorax.affine_mm, SPACING_MM
    )
    np.testing.assert_array_equal(find_heart(mirrored)[:, :, ::-1], find_heart(thorax))


def test_the_spine_is_no_heart_where_one_lung_is_small():
    thorax, heart = chest()
    thorax.hu[:, 40:, 30:51] = 300
    collapsed = thorax.lungs.copy()
    collapsed[:, :, 56:70] = 0
    thorax.hu[(thorax.lungs > 0) & (collapsed == 0)] = -90
    found = find_heart(Thorax(thorax.hu, collapsed, thorax.affine_mm, SPACING_MM))
    assert not found[:, 40:].any()
    assert dice(found, heart) > 0.9


def test_what_is_too_small_is_no_heart():
    thorax, heart = chest((36.0, 36.0, 36.0))
    assert heart.sum() * SPACING_MM**3 < 60_000
    assert not find_heart(thorax).any()


def test_tissue_outside_the_lungs_is_no_heart():
    thorax, heart = chest()
    thorax.hu[heart] = -90
    thorax.hu[:, :, :5] = 45
    thorax.hu[:, 50:] = 45
    assert not find_heart(thorax).any()
