from dataclasses import replace

import numpy as np

from medsyn2.ct.anatomy.completeness import is_repeated, left_share, warn_of_length


def test_two_series_in_one_file_are_seen_and_one_is_not(chest, view, view_of) -> None:
    assert not is_repeated(view)
    assert is_repeated(view_of(np.concatenate([chest.hu, chest.hu]), chest.spacing_mm))


def test_the_left_lung_has_its_share(view) -> None:
    assert 0.3 < left_share(view) < 0.6
    right = view.lungs & (np.arange(view.lungs.shape[2]) < view.centre[2])
    assert left_share(replace(view, lungs=right)) < 0.1


def test_lungs_are_as_long_as_they_are_wide_or_the_slices_may_be_elsewhere(chest, view, view_of) -> None:
    assert warn_of_length(view, ()) == []
    for factor in (0.4, 2.5):
        distorted = view_of(chest.hu, (factor * chest.spacing_mm[0], *chest.spacing_mm[1:]))
        (warning,) = warn_of_length(distorted, ())
        assert "distance of the slices" in warning
        assert warn_of_length(distorted, ("lungs-cut",)) == []
