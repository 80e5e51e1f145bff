"""Five lobes that together are the lungs, in the order in which they lie."""

import numpy as np
import pytest

from medsyn2.ct.geometry import nearest_labels
from medsyn2.ct.volume import axis_aligned_affine
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.segmenters.classical.lobes import HORIZONTAL, OBLIQUE, find_lobes
from medsyn2.segmenters.classical.thorax import LEFT, RIGHT, Thorax, thorax_of
from medsyn2.vocabulary import LOBES

SPACING_MM = 4.0
NUMBER = {name: label for label, name in LOBES.items()}


def boxes(lungs: np.ndarray) -> Thorax:
    hu = np.where(lungs > 0, -850, 40).astype(np.int16)
    return Thorax(hu, lungs, axis_aligned_affine((SPACING_MM,) * 3, (0.0, 0.0, 0.0)), SPACING_MM)


@pytest.fixture
def box_lungs():
    lungs = np.zeros((50, 50, 40), np.uint8)
    lungs[:, :, 2:16] = RIGHT
    lungs[:, :, 24:38] = LEFT
    return lungs


@pytest.fixture(scope="module", params=[3, 10])
def phantom_lobes(request):
    subject = draw_subject(0, request.param)
    phantom = scan(subject, draw_acquisition(subject, SPACING_MM))
    thorax = thorax_of(phantom.volume, SPACING_MM)
    return thorax, find_lobes(thorax), nearest_labels(phantom.truth["lobe_labels"], thorax.grid).labels


def test_five_lobes_are_the_lungs(phantom_lobes):
    thorax, lobes, _ = phantom_lobes
    assert set(np.unique(lobes)) == {0, *LOBES}
    np.testing.assert_array_equal(lobes > 0, thorax.lung)


def test_each_lobe_is_in_the_lung_of_its_side(phantom_lobes):
    thorax, lobes, _ = phantom_lobes
    for label, name in LOBES.items():
        side = LEFT if name.startswith("left") else RIGHT
        assert (thorax.lungs[lobes == label] == side).all()


def test_lobes_are_near_the_phantoms(phantom_lobes):
    _, lobes, truth = phantom_lobes
    for label in LOBES:
        assert dice(lobes == label, truth == label) > 0.75


def test_fissures_of_a_box_are_planes_at_the_stated_heights(box_lungs):
    lobes = find_lobes(boxes(box_lungs))
    for side, column, lower in ((LEFT, 30, "left_lower"), (RIGHT, 8, "right_lower")):
        heights = (lobes[:, :, column] == NUMBER[lower]).sum(axis=0) / 50
        front, rear = OBLIQUE[side]
        np.testing.assert_allclose(heights, np.linspace(front, rear, 50), atol=0.03)
    middle = (lobes[:, 0, 8] == NUMBER["right_middle"]).mean()
    assert middle == pytest.approx(HORIZONTAL - OBLIQUE[RIGHT][0], abs=0.04)


def test_division_is_the_same_across_the_lung_and_follows_its_size(box_lungs):
    lobes = find_lobes(boxes(box_lungs))
    for columns in (lobes[:, :, 2:16], lobes[:, :, 24:38]):
        assert (columns == columns[:, :, :1]).all()
    squeezed = find_lobes(boxes(box_lungs[::2]))
    shares = [np.bincount(found.ravel()) / found.size for found in (lobes, squeezed)]
    np.testing.assert_allclose(shares[0], shares[1], atol=0.01)


def test_with_the_sides_exchanged_only_the_other_lung_has_three_lobes(box_lungs):
    exchanged = np.ascontiguousarray(box_lungs[:, :, ::-1])
    lobes = find_lobes(boxes(exchanged))
    assert set(np.unique(lobes[:, :, 24:38])) == {NUMBER[f"right_{at}"] for at in ("upper", "middle", "lower")}
    np.testing.assert_array_equal(lobes[:, :, ::-1], find_lobes(boxes(box_lungs)))


def test_a_missing_lung_has_no_lobes(box_lungs):
    box_lungs[box_lungs == RIGHT] = 0
    assert set(np.unique(find_lobes(boxes(box_lungs)))) == {0, NUMBER["left_upper"], NUMBER["left_lower"]}
