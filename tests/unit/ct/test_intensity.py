import numpy as np
import pytest

from medsyn2.ct.intensity import apply_window, hu_to_unit, mask_to_unit, to_hu, unit_to_hu
from medsyn2.errors import IntensityError
from medsyn2.facts import HuScale


def test_values_become_hu_by_slope_and_intercept_within_the_range_of_a_ct():
    stored = np.array([[[0, 24, 1064, 9000]]], np.int16)
    found = to_hu(stored, HuScale("stored", 1.0, -1024.0, None))
    assert found.dtype == np.int16
    assert found.tolist() == [[[-1024, -1000, 40, 3071]]]
    assert to_hu(np.float32([[[-0.6, 0.4]]]), HuScale("hu", 1.0, 0.0, None)).tolist() == [[[-1, 0]]]


def test_hu_to_unit_and_back():
    hu = np.array([-2000, -1024, -512, 0, 1, 1023, 1024, 3071], np.int16)
    unit = hu_to_unit(hu, (-1024.0, 1024.0))
    assert unit.dtype == np.float32
    assert np.allclose(unit, [-1, -1, -0.5, 0, 1 / 1024, 1023 / 1024, 1, 1])
    assert np.array_equal(unit_to_hu(unit, (-1024.0, 1024.0)), np.clip(hu, -1024, 1024))
    every = np.arange(-1000, 601, dtype=np.int16)
    assert np.array_equal(unit_to_hu(hu_to_unit(every, (-1000.0, 600.0)), (-1000.0, 600.0)), every)


def test_a_network_output_that_is_not_finite_is_refused():
    with pytest.raises(IntensityError, match="unit-not-finite"):
        unit_to_hu(np.array([0.0, np.nan]), (-1024.0, 1024.0))


def test_a_window_goes_from_0_to_1():
    assert np.allclose(apply_window(np.array([-2000, -1350, -600, 150, 900]), (-1350.0, 150.0)), [0, 0, 0.5, 1, 1])


def test_a_mask_becomes_values_around_zero() -> None:
    unit = mask_to_unit(np.array([[[True, False]]]))
    assert unit.dtype == np.float32
    assert unit.tolist() == [[[0.5, -0.5]]]
