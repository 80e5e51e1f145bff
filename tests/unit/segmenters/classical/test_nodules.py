"""Nodules of phantoms, and none where there is none."""

import pytest

from medsyn2.segmenters.classical.nodules import find_nodules


@pytest.mark.parametrize("index", [0, 1])
def test_nodules_are_found(known, index):
    case = known(index)
    assert case.dice(find_nodules(case.thorax), "nodules") >= 0.5


@pytest.mark.parametrize("index", [5, 10])
def test_vessels_are_no_nodules(known, index):
    assert not find_nodules(known(index).thorax).any()
