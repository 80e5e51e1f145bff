"""Padding is known by its place: columns that are nowhere above the lowest HU."""

import numpy as np

from medsyn2.ct.field_of_view import find_padding, widen


def test_columns_of_padding_alone_are_outside_and_noise_is_not() -> None:
    hu = np.clip(np.random.default_rng(0).normal(-1000, 20, (30, 20, 24)).round(), -1024, 3071)
    outside = np.hypot(*np.ogrid[-10:10, -12:12]) > 11
    hu[:, outside] = -1024
    np.testing.assert_array_equal(find_padding(hu), outside)
    hu[3, 0, 0] = -1023
    assert not find_padding(hu)[0, 0]


def test_columns_are_widened_by_steps() -> None:
    columns = np.zeros((7, 7), dtype=bool)
    assert not widen(columns, 2).any()
    columns[3, 3] = True
    assert widen(columns, 2).sum() == 13
