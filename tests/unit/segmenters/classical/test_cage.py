"""The inside of the rib cage holds the lungs and what takes their place."""

import pytest

from medsyn2.segmenters.classical.cage import inside_cage


@pytest.mark.parametrize("index", [1, 3])
def test_cage_holds_the_lungs_and_the_heart_and_no_bone(known, index):
    case = known(index)
    cage = inside_cage(case.thorax)
    assert (cage & case.thorax.lung).sum() > 0.95 * case.thorax.lung.sum()
    assert (cage & case.truth["heart"]).sum() > 0.6 * case.truth["heart"].sum()
    ribs = (case.thorax.hu > 500) & ~case.truth["heart"]
    assert (cage & ribs).sum() < 0.2 * ribs.sum()
