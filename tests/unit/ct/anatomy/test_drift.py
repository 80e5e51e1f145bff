import numpy as np
import pytest
from scipy import ndimage

from medsyn2.ct.anatomy.drift import find_shifts, warn_of_drift
from medsyn2.ct.anatomy.slices import lungs_of
from medsyn2.ct.anatomy.view import thumbnail_spacing_mm, thumbnails


@pytest.fixture(scope="module")
def planes(chest):
    """A phantom with air to both sides, so that slices can be moved."""
    return np.pad(thumbnails(chest.hu, chest.spacing_mm), ((0, 0), (14, 14), (14, 14)), constant_values=-1000)


@pytest.fixture(scope="module")
def spacing_mm(chest):
    return thumbnail_spacing_mm(chest.shape, chest.spacing_mm)


def shift(planes, shifts_mm, spacing_mm):
    """Move each slice by its own shift (rows, columns)."""
    moves = np.array(shifts_mm) / spacing_mm[1:]
    steps = zip(planes, moves, strict=True)
    return np.stack([ndimage.shift(plane, move, order=1, cval=-1000) for plane, move in steps])


def test_the_shift_of_a_slice_is_found_in_mm(planes, spacing_mm) -> None:
    chest, start = lungs_of(planes)
    chest = planes[start + 5 : start + len(chest) - 5]
    moved_mm = np.zeros((len(chest), 2))
    moved_mm[20:] = (2.0, -3.0)
    more = find_shifts(shift(chest, moved_mm, spacing_mm), spacing_mm) - find_shifts(chest, spacing_mm)
    np.testing.assert_allclose(more[19], (2.0, -3.0), atol=0.6)
    assert np.abs(np.delete(more, 19, axis=0)).max() < 0.3


def test_a_chest_at_rest_does_not_drift_however_thick_its_slices_are(planes, spacing_mm) -> None:
    for step in (1, 2, 3):
        assert warn_of_drift(planes[::step], (step * spacing_mm[0], *spacing_mm[1:]), is_whole=True) == []


def test_slices_without_lungs_do_not_drift(spacing_mm) -> None:
    assert warn_of_drift(np.zeros((40, 8, 8), np.float32), spacing_mm, is_whole=True) == []
    assert len(find_shifts(np.zeros((40, 8, 8), np.float32), spacing_mm)) == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_a_patient_who_moved_between_two_slices_is_seen_at_the_place(planes, spacing_mm, axis) -> None:
    moved_mm = np.zeros((len(planes), 2))
    moved_mm[40:, axis] = 6.0
    (warning,) = warn_of_drift(shift(planes, moved_mm, spacing_mm), spacing_mm, is_whole=False)
    assert "40 and 41" in warning
    assert "moved" in warning


def test_slices_that_lie_anywhere_are_counted(planes, spacing_mm) -> None:
    moved_mm = np.random.default_rng(0).normal(0, 3, (len(planes), 2))
    (warning,) = warn_of_drift(shift(planes, moved_mm, spacing_mm), spacing_mm, is_whole=True)
    assert "slices are shifted against the one below" in warning


@pytest.mark.parametrize(("back", "left"), [(0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (0.0, -0.3)])
def test_slices_of_a_tilted_gantry_lean(planes, spacing_mm, back, left) -> None:
    moved_mm = ((np.arange(len(planes)) - len(planes) / 2) * spacing_mm[0])[:, None] * (back, left)
    (warning,) = warn_of_drift(shift(planes, moved_mm, spacing_mm), spacing_mm, is_whole=False)
    assert "leans" in warning


def test_a_patient_who_moves_slowly_wanders_unless_the_border_of_the_view_may_be_it(planes, spacing_mm) -> None:
    up_mm = np.arange(len(planes)) * spacing_mm[0]
    moved_mm = np.clip((up_mm - up_mm.mean()) * 0.5, 0, 15)[:, None] * (0.0, 1.0)
    moved = shift(planes, moved_mm, spacing_mm)
    (warning,) = warn_of_drift(moved, spacing_mm, is_whole=True)
    assert "wander" in warning
    assert warn_of_drift(moved, spacing_mm, is_whole=False) == []
