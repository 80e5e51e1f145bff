"""What the plan counts is what the studies make."""

import numpy as np
import pytest

from medsyn2.ct.volume import LabelMap, axis_aligned_affine
from medsyn2.evaluation.control.requests import Request
from medsyn2.evaluation.control.sizes import TIMES, num_edits
from medsyn2.vocabulary import STRUCTURES


@pytest.mark.parametrize("structure", STRUCTURES)
def test_edits_are_as_many_as_are_counted(structure: str) -> None:
    mask = np.ones((2, 4, 6), dtype=bool)
    request = Request(structure, LabelMap(mask, axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))), mask)
    edits = list(request.edits((0.0, 0.0, 0.0)))
    assert len(edits) == num_edits(structure)
    assert {one.report_state(request) for _, one in edits} == {"none"}


def test_times_of_the_flow_loss_lie_between_clean_and_noise() -> None:
    assert 0 < TIMES[0] < TIMES[-1] < 1
