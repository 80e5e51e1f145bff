"""The airways of phantoms."""

import numpy as np
import pytest
from scipy import ndimage

from medsyn2.segmenters.classical.airways import find_airways


@pytest.mark.parametrize("index", [3, 10])
def test_trachea_and_bronchi_are_followed(known, index):
    case = known(index)
    found = find_airways(case.thorax)
    assert case.dice(found, "airways") >= 0.65
    assert np.median(case.thorax.hu[found]) < -700


def test_airways_hang_together(known):
    found = find_airways(known(3).thorax)
    labels, count = ndimage.label(found, structure=np.ones((3, 3, 3)))
    assert np.bincount(labels.ravel())[1:].max() > 0.9 * found.sum()
    assert count < 10
