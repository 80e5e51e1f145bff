import numpy as np
import pytest
from scipy import ndimage

from medsyn2.ct.hounsfield.padding import blank_slices, clear_padding, is_filled, take_sample, without_padding
from medsyn2.facts import HuScale, Padding

HU = HuScale("hu", 1.0, 0.0, None)


def values_of(found):
    return {part.value for part in found.padding}


@pytest.mark.parametrize("value", [-8192, -3024, -1000, 0, 63, 3071])
def test_padding_is_found_by_its_place_whatever_its_value(chest, outside, value):
    found = take_sample(np.where(outside, np.int16(value), chest))
    assert values_of(found) == {value}
    assert not (found.is_image & outside).any()
    assert found.is_image[5:-5, 20:-20, 20:-20].all()
    assert found.shares[value] == pytest.approx(outside.mean(), rel=0.05)


def test_an_unpadded_chest_has_none(chest):
    found = take_sample(chest)
    assert found.padding == ()
    assert found.is_image.all()


def test_several_paddings_around_each_other_are_found(chest, outside):
    inner = np.where(outside, np.int16(-3024), chest)
    boxed = np.pad(inner, ((0, 0), (8, 8), (8, 8)), constant_values=0)
    assert values_of(take_sample(boxed)) == {-3024, 0}
    cleared = without_padding(boxed, take_sample(boxed).padding)
    assert (cleared[:, :8] == -1024).all()
    assert np.array_equal(cleared[:, 8:-8, 8:-8], inner)


def test_corners_of_a_turned_volume_become_air_and_nothing_else_changes(chest):
    turned = np.rint(ndimage.rotate(chest.astype(np.float32), 12, axes=(1, 2), reshape=False, order=1, cval=0))
    reference = np.rint(ndimage.rotate(chest.astype(np.float32), 12, axes=(1, 2), reshape=False, order=1, cval=-1024))
    cleared = without_padding(turned.astype(np.int16), take_sample(turned.astype(np.int16)).padding)
    different = np.abs(cleared - reference) > 60
    assert different.mean() < 0.01
    assert np.abs(turned - reference > 60).mean() > 0.03


def test_a_background_that_was_set_to_zero_is_air_again(chest):
    body = chest > -500
    body = np.stack([ndimage.binary_fill_holes(ndimage.binary_opening(plane)) for plane in body])
    masked = np.where(body, chest, 0).astype(np.int16)
    cleared = without_padding(masked, take_sample(masked).padding)
    assert (cleared[~body] == -1024).mean() > 0.98
    assert np.array_equal(cleared[5:-5, 20:-20, 20:-20], chest[5:-5, 20:-20, 20:-20])


def test_padding_that_is_as_empty_as_air_stays_as_it_is():
    empty, water = Padding(-1000.0, 0, 0), Padding(0.0, 0, 0)
    assert [is_filled(part, HU) for part in (empty, water)] == [False, True]
    stored = HuScale("stored", 1.0, -1024.0, None)
    assert not is_filled(water, stored)
    hu = np.zeros((2, 32, 32), np.int16)
    assert without_padding(hu, None) is hu


def test_a_blank_slice_and_the_one_mixed_with_it_become_air(chest):
    values = chest.copy()
    values[:3] = 3071
    values[3] = (values[3] + 3071.0) / 2
    hu = values.copy()
    clear_padding(hu, values, [Padding(3071.0, 0, 1)], HU)
    assert (hu[:4] == -1024).all()
    assert np.array_equal(hu[4:], chest[4:])


def test_blank_slices_are_those_without_noise(chest, outside):
    values = np.where(outside, np.int16(-2000), chest)
    values[:4] = 0
    values[10] = np.where(outside[10], -2000, -1024)
    assert blank_slices(values).nonzero()[0].tolist() == [0, 1, 2, 3, 10]
    assert not blank_slices(chest).any()
    assert not blank_slices(chest.clip(-160, 240)).any()


def test_the_end_of_a_cut_range_is_no_padding(chest):
    assert not any(value == 240 for value in values_of(take_sample(chest.clip(-1024, 240))))
