"""Effusions of phantoms, and none where there is none."""

import numpy as np
import pytest

from medsyn2.segmenters.classical.cage import inside_cage
from medsyn2.segmenters.classical.effusions import find_pericardial_effusion, find_pleural_effusion
from medsyn2.segmenters.classical.thorax import LEFT, RIGHT, Thorax


@pytest.mark.parametrize("index", [1, 10])
def test_pleural_effusion_is_found(known, index):
    case = known(index)
    assert case.dice(case.fluid, "pleural_effusion") >= 0.7


def test_pericardial_effusion_is_found(known):
    case = known(0)
    assert case.dice(find_pericardial_effusion(case.thorax, case.cage), "pericardial_effusion") >= 0.6


@pytest.mark.parametrize("index", [3, 5])
def test_where_there_is_none_none_is_found(known, index):
    case = known(index)
    assert not case.fluid.any()
    assert not find_pericardial_effusion(case.thorax, case.cage).any()


def test_effusion_of_a_mirrored_chest_is_mirrored(known):
    thorax = known(1).thorax
    sides = np.array([0, RIGHT, LEFT], np.uint8)[thorax.lungs[:, :, ::-1]]
    mirrored = Thorax(np.ascontiguousarray(thorax.hu[:, :, ::-1]), sides.copy(), thorax.affine_mm, thorax.spacing_mm)
    found = find_pleural_effusion(mirrored, inside_cage(mirrored))[:, :, ::-1]
    expected = known(1).fluid
    assert 2 * (found & expected).sum() > 0.95 * (found.sum() + expected.sum())
