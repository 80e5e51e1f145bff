"""The vessels of phantoms."""

import numpy as np
import pytest

from medsyn2.segmenters.classical.vessels import find_vessels


@pytest.mark.parametrize("index", [3, 10])
def test_vessels_are_found_inside_the_lungs(known, index):
    case = known(index)
    found = find_vessels(case.thorax, case.airways)
    assert case.dice(found, "vessels") >= 0.55
    assert not (found & ~case.thorax.lung).any()
    assert np.median(case.thorax.hu[found]) > np.median(case.thorax.hu[case.thorax.lung]) + 200
