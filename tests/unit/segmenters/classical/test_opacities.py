"""Consolidation and ground glass of phantoms, and none where there is none."""

import pytest

from medsyn2.segmenters.classical.effusions import find_pleural_effusion
from medsyn2.segmenters.classical.opacities import find_consolidation, find_ground_glass, lung_hull


def test_consolidation_is_found(known):
    case = known(0)
    assert case.dice(find_consolidation(case.thorax), "consolidation") >= 0.5


def test_ground_glass_is_found(known):
    case = known(1)
    assert case.dice(find_ground_glass(case.thorax), "ground_glass") >= 0.6


@pytest.mark.parametrize("index", [3, 5])
def test_where_there_is_none_none_is_found(known, index):
    thorax = known(index).thorax
    assert not find_consolidation(thorax).any()
    assert not find_ground_glass(thorax).any()


def test_hull_holds_the_lungs_and_no_fluid(known):
    thorax = known(1).thorax
    fluid = find_pleural_effusion(thorax)
    hull = lung_hull(thorax, fluid)
    assert (hull & thorax.lung).sum() > 0.99 * thorax.lung.sum()
    assert not (hull & fluid & ~thorax.lung).any()
