"""Consolidation and ground glass of phantoms, and none where there is none."""

import pytest

from medsyn2.segmenters.classical.opacities import find_consolidation, find_ground_glass, lung_hull


def test_consolidation_is_found(known):
    case = known(0)
    assert case.dice(find_consolidation(case.thorax, case.cage, case.fluid), "consolidation") >= 0.5


def test_ground_glass_is_found(known):
    case = known(1)
    assert case.dice(find_ground_glass(case.thorax), "ground_glass") >= 0.6


@pytest.mark.parametrize("index", [3, 5])
def test_where_there_is_none_none_is_found(known, index):
    case = known(index)
    assert not find_consolidation(case.thorax, case.cage, case.fluid).any()
    assert not find_ground_glass(case.thorax).any()


def test_hull_holds_the_lungs_and_no_fluid(known):
    case = known(1)
    hull, lung = lung_hull(case.thorax, case.cage, case.fluid), case.thorax.lung
    assert (hull & lung).sum() > 0.99 * lung.sum()
    assert not (hull & case.fluid & ~lung).any()
