"""Lesions of known sizes, made, half made and not made."""

import numpy as np
import pytest

from medsyn2.ct.mask_edits import mirror_mask
from medsyn2.evaluation.control.lesions import lesions, size_class

SPACING_MM = (2.0, 1.0, 1.5)
SHAPE = (20, 40, 40)


def ball(centre: tuple[int, int, int], radius_mm: float) -> np.ndarray:
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    return np.linalg.norm((places - centre) * SPACING_MM, axis=-1) <= radius_mm


SMALL, LARGE = ball((5, 10, 10), 4.0), ball((14, 28, 26), 8.0)


def test_each_part_has_its_diameter_and_what_was_made_of_it() -> None:
    found = lesions(np.where(LARGE, 700, 0), SMALL | LARGE, SPACING_MM, 300)
    assert [one.diameter_mm for one in found] == pytest.approx([8, 16], rel=0.1)
    assert [one.made for one in found] == [False, True]
    assert [one.denser_hu for one in found] == [0, 700]


def test_half_of_a_lesion_makes_it_and_less_does_not() -> None:
    inside = np.flatnonzero(LARGE)
    for share, made in ((0.55, True), (0.45, False)):
        difference = np.zeros(SHAPE)
        difference.flat[inside[: round(share * len(inside))]] = 400
        assert lesions(difference, LARGE, SPACING_MM, 300)[0].made == made


def test_what_is_made_on_one_side_only_is_not_made_on_the_other() -> None:
    one_side, everywhere = np.where(SMALL, 500, 0), np.full(SHAPE, 500)
    assert not lesions(one_side, mirror_mask(SMALL), SPACING_MM, 300)[0].made
    assert lesions(everywhere, mirror_mask(SMALL), SPACING_MM, 300)[0].made


def test_parts_that_touch_at_a_corner_are_one_and_an_empty_mask_has_none() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[3, 4, 5] = mask[4, 5, 6] = True
    assert len(lesions(np.zeros(SHAPE), mask, SPACING_MM, 300)) == 1
    assert lesions(np.zeros(SHAPE), np.zeros(SHAPE, dtype=bool), SPACING_MM, 300) == []


@pytest.mark.parametrize(
    ("diameter_mm", "words"),
    [(3.0, "0 to 10 mm"), (10.0, "10 to 20 mm"), (19.9, "10 to 20 mm"), (20.0, "20 mm and more")],
)
def test_every_diameter_is_in_one_class(diameter_mm: float, words: str) -> None:
    assert size_class(diameter_mm, (10.0, 20.0)) == words


def test_without_bounds_there_is_one_class() -> None:
    assert size_class(7.0, ()) == "0 mm and more"
