import numpy as np
import pytest

from medsyn2.ct.hounsfield.cuts import find_cuts
from medsyn2.ct.hounsfield.padding import take_sample


@pytest.mark.parametrize(
    ("low", "high", "expected_low", "expected_high", "lost"),
    [
        (-1024, 3071, None, None, False),
        (-1000, 200, None, 200, False),
        (-1024, 480, None, 480, False),
        (-835, 3071, -835, None, False),
        (-500, 3071, -500, None, True),
        (-160, 240, -160, 240, True),
    ],
)
def test_ends_are_found_and_lungs_are_lost_where_they_lie_at_one(chest, low, high, expected_low, expected_high, lost):
    found = find_cuts(take_sample(chest.clip(low, high)))
    assert (found.low_hu, found.high_hu) == (expected_low, expected_high)
    assert found.is_lung_lost == lost or low == -835
    assert len(found.notes) == (expected_low is not None) + (expected_high is not None)


def test_cuts_are_told_in_hu_and_padding_is_none(chest, outside):
    stored = np.where(outside, np.int16(-1000), chest.clip(-1024, 200) + np.int16(1024))
    assert find_cuts(take_sample(stored), 1.0, -1024.0).high_hu == 200
    padded = np.where(outside, np.int16(3071), chest)
    assert find_cuts(take_sample(padded)).high_hu is None
