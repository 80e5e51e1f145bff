from dataclasses import replace

import numpy as np

from medsyn2.ct.anatomy.completeness import blank_slices, is_repeated, left_share


def test_a_slice_of_one_value_is_blank_whatever_the_value() -> None:
    values = np.random.default_rng(0).normal(0, 15, (5, 40, 40)).astype(np.int16)
    values[0], values[3] = -1024, 0
    values[4] = -1024
    values[4, 17, 23] = 5
    assert blank_slices(values).tolist() == [True, False, False, True, False]


def test_two_series_in_one_file_are_seen_and_one_is_not(chest, view, view_of) -> None:
    assert not is_repeated(view)
    assert is_repeated(view_of(np.concatenate([chest.hu, chest.hu]), chest.spacing_mm))


def test_the_left_lung_has_its_share(view) -> None:
    assert 0.3 < left_share(view) < 0.6
    right = view.lungs & (np.arange(view.lungs.shape[2]) < view.centre[2])
    assert left_share(replace(view, lungs=right)) < 0.1
