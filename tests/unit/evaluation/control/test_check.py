"""Volumes that hold what was asked for, in part or not at all, as the check sees them."""

from io import BytesIO

import matplotlib.image
import numpy as np
import pytest

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.control.check import Made, describe_check, draw_check, look_again

AFFINE = axis_aligned_affine((4.0, 3.0, 3.0), (-48.0, -40.0, -30.0))
SHAPE = (16, 32, 32)


def block(*corner):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(start, start + 4) for start in corner)] = True
    return mask


ASKED = block(4, 8, 4)


def made(**changed):
    hu = np.full(SHAPE, -900, np.int16)
    hu[ASKED] = 30
    return Made(**{"volume": CTVolume(hu, AFFINE), "words": "consolidation", "mask": ASKED} | changed)


def test_what_lies_where_it_was_asked_for_agrees_and_what_lies_elsewhere_does_not():
    record = describe_check(made(), ASKED, None)
    assert (record["dice"], record["asked_ml"], record["found_ml"]) == (1.0, 2.304, 2.304)
    assert record["asked_side"] == record["found_side"] == -1
    assert record["inside_hu"] == {"mean": 30.0, "p10": 30.0, "p90": 30.0}
    other = describe_check(made(), block(4, 8, 24), None)
    assert (other["dice"], other["found_side"]) == (0.0, 1.0)
    none = describe_check(made(), np.zeros(SHAPE, bool), None)
    assert (none["dice"], none["found_ml"], none["found_side"]) == (0.0, 0.0, None)


def test_the_boundaries_of_lobes_are_not_compared_and_an_unknown_word_is_not_judged():
    assert describe_check(made(words="lung lobes"), ASKED, None)["dice"] is None
    found, problem = look_again(made(words="a stone"), SegmentConfig())
    assert found is None
    assert "stone" in problem
    record = describe_check(made(words="a stone"), found, problem)
    assert (record["dice"], record["found_ml"], record["problem"]) == (None, None, problem)
    assert look_again(made(words=None, mask=None), SegmentConfig()) == (None, "no mask was given")


def test_a_volume_that_shows_no_chest_is_not_compared():
    found, problem = look_again(made(), SegmentConfig())
    assert found is None
    assert problem


def test_of_an_edit_the_region_counts_and_the_rest_is_as_it_was():
    before = np.full(SHAPE, -900, np.int16)
    region = np.zeros(SHAPE, bool)
    region[2:10, 6:14, 2:10] = True
    edited = made(region=region, before=CTVolume(before, AFFINE))
    record = describe_check(edited, ASKED & region, None)
    assert record["untouched_share"] == 1.0
    assert record["inside_before_hu"]["mean"] == -900.0
    changed = made().volume.hu.copy()
    changed[15, 31, 31] = 0
    record = describe_check(
        made(volume=CTVolume(changed, AFFINE), region=region, before=CTVolume(before, AFFINE)), None, "x"
    )
    assert record["untouched_share"] < 1


@pytest.mark.parametrize("mask", [ASKED, None])
def test_the_picture_says_that_it_is_synthetic_in_each_plane(mask):
    picture = draw_check(made(mask=mask), None, "a title")
    assert picture == draw_check(made(mask=mask), None, "a title")
    image = matplotlib.image.imread(BytesIO(picture))
    red = (image[..., 0] > 0.9) & (image[..., 1] < 0.45) & (image[..., 2] < 0.45)
    thirds = np.array_split(red, 3, axis=1)
    assert all(part.sum() > 50 for part in thirds)
