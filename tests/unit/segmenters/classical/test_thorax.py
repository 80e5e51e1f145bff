"""The working grid of the classical tools: isotropic, with each lung on its side."""

import numpy as np
import pytest

from medsyn2.ct.geometry import nearest_labels
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import InvalidVolumeError
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.segmenters.classical.thorax import LEFT, RIGHT, thorax_of

SPACING_MM = 4.0


@pytest.fixture(scope="module")
def phantom():
    subject = draw_subject(0, 3)
    return scan(subject, draw_acquisition(subject, SPACING_MM))


@pytest.fixture(scope="module")
def thorax(phantom):
    return thorax_of(phantom.volume, SPACING_MM)


def test_the_working_grid_is_isotropic_and_covers_the_scan(phantom, thorax):
    assert thorax.grid.spacing_mm == pytest.approx((SPACING_MM,) * 3)
    assert thorax.hu.shape == thorax.lungs.shape == thorax.grid.shape
    extent = np.multiply(phantom.volume.shape, phantom.volume.spacing_mm)
    np.testing.assert_allclose(np.multiply(thorax.grid.shape, SPACING_MM), extent, atol=SPACING_MM)


def test_the_lungs_are_the_phantoms(phantom, thorax):
    truth = nearest_labels(phantom.truth["lungs"], thorax.grid).labels > 0
    assert dice(thorax.lung, truth) > 0.95


def test_the_left_lung_is_to_the_patients_left(thorax):
    middle = {side: np.argwhere(thorax.lungs == side).mean(axis=0) for side in (LEFT, RIGHT)}
    assert middle[LEFT][2] > middle[RIGHT][2] + 80 / SPACING_MM
    assert set(np.unique(thorax.lungs)) == {0, LEFT, RIGHT}


def test_a_mirrored_scan_has_its_lungs_exchanged(phantom, thorax):
    mirrored = CTVolume(np.ascontiguousarray(phantom.volume.hu[:, :, ::-1]), phantom.volume.affine_mm)
    lungs = thorax_of(mirrored, SPACING_MM).lungs[:, :, ::-1]
    for here, there in ((LEFT, RIGHT), (RIGHT, LEFT)):
        assert dice(lungs == here, thorax.lungs == there) > 0.97


def test_a_volume_without_lungs_is_refused():
    water = CTVolume(np.zeros((40, 40, 40), np.int16), axis_aligned_affine((6.0,) * 3, (0.0, 0.0, 0.0)))
    with pytest.raises(InvalidVolumeError, match="no-lungs"):
        thorax_of(water, 6.0)
