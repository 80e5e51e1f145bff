import numpy as np
import pytest

from medsyn2.ct.hounsfield.flat import all_of, equal, equal_neighbours, flat_parts, reach_from_sides, spread

NOISE = np.random.default_rng(0).normal(0, 20, (64, 96)).round().astype(np.int16)


@pytest.mark.parametrize("axis", [0, 1])
def test_places_from_which_on_all_are_members(axis):
    member = np.random.default_rng(1).random((20, 30)) < 0.7
    turned = member if axis == 1 else member.T
    for count in (1, 2, 3, 5, 8):
        expected = np.lib.stride_tricks.sliding_window_view(turned, count, axis=1).all(axis=2)
        found = all_of(member, count, axis)
        assert np.array_equal(found if axis == 1 else found.T, expected)


@pytest.mark.parametrize("voxels", [0, 1, 2, 5])
def test_spreading_is_by_a_square_and_stays_in_the_slice(voxels):
    inside = np.zeros((20, 30), bool)
    inside[0, 3] = inside[12, 29] = True
    rows, columns = np.indices(inside.shape)
    expected = np.zeros(inside.shape, bool)
    for row, column in ((0, 3), (12, 29)):
        expected |= np.maximum(abs(rows - row), abs(columns - column)) <= voxels
    assert np.array_equal(spread(inside, voxels), expected)


def test_noise_has_no_flat_parts_and_a_filled_corner_is_one():
    plane = NOISE.copy()
    plane[:20, :30] = 0
    flat = flat_parts(plane)
    assert flat[:20, :30].all()
    assert flat[21:].mean() < 0.02
    assert flat[:, 31:].mean() < 0.02


def test_all_outside_a_convex_field_is_seen_and_a_hole_inside_is_not():
    rows, columns = np.ogrid[-1:1:64j, -1:1:96j]
    free = np.broadcast_to(np.hypot(rows, columns) > 0.95, (64, 96)).copy()
    free[28:32, 40:44] = True
    seen = reach_from_sides(free)
    assert not seen[28:32, 40:44].any()
    assert np.array_equal(seen | (np.hypot(rows, columns) < 0.5), free | (np.hypot(rows, columns) < 0.5))
    assert reach_from_sides(np.ones((5, 7), bool)).all()
    assert not reach_from_sides(np.zeros((5, 7), bool)).any()


def test_interpolated_constants_are_equal_up_to_rounding():
    values = np.float32([[-1000, np.nextafter(np.float32(-1000), np.float32(0)), -999, 0]])
    assert equal(values, -1000.0).tolist() == [[True, True, False, False]]
    assert equal_neighbours(values).tolist() == [[True, False, False]]
    assert equal(np.int16([3, 4]), 3.0).tolist() == [True, False]
