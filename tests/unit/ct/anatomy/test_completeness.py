from dataclasses import replace

import numpy as np
import pytest

from medsyn2.ct.anatomy.completeness import has_sides, is_repeated, left_share, measure_length, warn_of_length
from medsyn2.ct.anatomy.view import ChestView


def test_two_series_in_one_file_are_seen_and_one_is_not(chest, view, view_of) -> None:
    assert not is_repeated(view)
    assert is_repeated(view_of(np.concatenate([chest.hu, chest.hu]), chest.spacing_mm))


def test_the_left_lung_has_its_share(view) -> None:
    assert 0.3 < left_share(view) < 0.6
    right = view.lungs & (np.arange(view.lungs.shape[2]) < view.centre[2])
    assert left_share(replace(view, lungs=right)) < 0.1


@pytest.mark.parametrize("factor", [0.4, 1 / 1.8, 1.5, 2.5])
def test_a_wrong_distance_of_slices_is_warned_of(chest, view, view_of, factor) -> None:
    assert warn_of_length(view) == []
    (warning,) = warn_of_length(view_of(chest.hu, (factor * chest.spacing_mm[0], *chest.spacing_mm[1:])))
    assert "distance of the slices" in warning


def test_length_does_not_depend_on_size_and_thickness_of_slices(chest, view, view_of) -> None:
    large = view_of(chest.hu, tuple(1.3 * n for n in chest.spacing_mm))
    assert measure_length(large) == pytest.approx(measure_length(view), rel=0.1)
    thick = chest.hu[: len(chest.hu) // 2 * 2].reshape(-1, 2, *chest.shape[1:]).mean(axis=1)
    twice = (2 * chest.spacing_mm[0], *chest.spacing_mm[1:])
    assert measure_length(view_of(thick, twice)) == pytest.approx(measure_length(view), rel=0.1)


def test_a_field_of_view_within_the_lungs_does_not_show_their_sides(view) -> None:
    assert has_sides(view)
    middle = view.box[2].start + view.size[2] // 4
    cut = ChestView(view.hu[:, :, middle:], view.lungs[:, :, middle:], view.outside[:, :, middle:], view.spacing_mm)
    assert not has_sides(cut)
    outside = view.outside.copy()
    outside[:, :, :middle] = True
    assert not has_sides(replace(view, lungs=view.lungs & ~outside, outside=outside))
