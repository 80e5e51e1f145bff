import numpy as np
import pytest
from scipy import ndimage

from medsyn2.ct.anatomy.slices import check_order, find_jumps
from medsyn2.ct.anatomy.view import thumbnails
from medsyn2.errors import InvalidVolumeError


@pytest.fixture(scope="module")
def planes(chest):
    return thumbnails(chest.hu, chest.spacing_mm)


def test_the_slices_of_a_chest_have_no_jump_however_thick(chest, planes) -> None:
    assert check_order(planes, chest.spacing_mm[0], "a") == []
    assert check_order(planes[::2], 2 * chest.spacing_mm[0], "a") == []
    assert check_order(planes[::-1], chest.spacing_mm[0], "a") == []


def test_lost_slices_are_a_jump_at_their_place(chest, planes) -> None:
    lost = np.delete(planes, range(30, 42), axis=0)
    assert find_jumps(lost, chest.spacing_mm[0])[0] == [29]
    assert "30 and 31" in check_order(lost, chest.spacing_mm[0], "a")[0]


@pytest.mark.parametrize("order", ["as text", "at random"])
def test_slices_in_another_order_are_refused(chest, planes, order) -> None:
    numbers = range(1, len(planes) + 1)
    as_text = np.array(sorted(numbers, key=str)) - 1
    found = planes[as_text if order == "as text" else np.random.default_rng(0).permutation(len(planes))]
    with pytest.raises(InvalidVolumeError) as caught:
        check_order(found, chest.spacing_mm[0], "a")
    assert caught.value.code == "slices-disordered"


def test_neighbours_that_changed_places_are_refused(chest, planes) -> None:
    swapped = planes[: len(planes) // 2 * 2].reshape(-1, 2, *planes.shape[1:])[:, ::-1].reshape(-1, *planes.shape[1:])
    with pytest.raises(InvalidVolumeError, match="two apart") as caught:
        check_order(swapped, chest.spacing_mm[0], "a")
    assert caught.value.code == "slices-disordered"


def test_two_series_that_alternate_in_a_file_are_refused(chest, planes) -> None:
    both = np.stack([planes, ndimage.gaussian_filter(planes, (0, 1, 1))], axis=1).reshape(-1, *planes.shape[1:])
    with pytest.raises(InvalidVolumeError, match="two apart"):
        check_order(both, chest.spacing_mm[0] / 2, "a")


def test_slices_that_are_there_twice_are_warned_of(chest, planes) -> None:
    (warning,) = check_order(planes.repeat(2, axis=0), chest.spacing_mm[0] / 2, "a")
    assert "copy" in warning


@pytest.mark.parametrize("order", [1, 3])
def test_interpolated_slices_are_in_order(chest, planes, order) -> None:
    for factor in (0.7, 1.5, 2.0):
        between = ndimage.zoom(planes, (factor, 1, 1), order=order, mode="nearest", grid_mode=True)
        assert check_order(between, chest.spacing_mm[0] / factor, "a") == []


def test_slices_without_anatomy_have_no_order() -> None:
    noise = np.random.default_rng(0).normal(0, 15, (40, 8, 8)).astype(np.float32)
    assert find_jumps(noise, 4.0) == ([], [])
    assert find_jumps(noise[:10] - 800, 4.0) == ([], [])


def test_a_bubble_of_gas_in_a_uniform_body_is_no_jump(chest, planes) -> None:
    below = np.broadcast_to(planes[:1], (60, *planes.shape[1:])).copy()
    for at in range(5, 55, 10):
        below[at : at + 5, 35:45, 35:45] = -1000
    assert check_order(np.concatenate([below, planes]), chest.spacing_mm[0], "a") == []
