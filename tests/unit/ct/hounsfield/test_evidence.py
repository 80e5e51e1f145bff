import numpy as np
import pytest

from medsyn2.ct.hounsfield.evidence import measure_tissues
from medsyn2.ct.hounsfield.padding import take_sample


def test_a_chest_has_its_tissues_where_hu_put_them(chest):
    found = measure_tissues(take_sample(chest))
    assert found.is_chest
    assert found.is_upright_chest
    assert -1020 <= found.air_hu <= -980
    assert 30 <= found.tissue_peak_hu <= 70
    assert found.impossible_share == 0


@pytest.mark.parametrize("shift", [-1024, -200, -100, 150, 200, 400, 1024])
def test_shifted_values_are_no_chest_with_air_around_or_without(chest, shift):
    shifted = chest + np.int16(shift)
    assert not measure_tissues(take_sample(shifted)).is_chest
    alone = np.where(np.hypot(*np.ogrid[-1:1:64j, -1:1:72j]) > 0.85, np.int16(-3024), shifted)
    assert not measure_tissues(take_sample(alone)).is_chest


def test_lungs_speak_where_no_air_is_around_the_body(chest):
    tight = np.broadcast_to(np.hypot(*np.ogrid[-1:1:64j, -1:1:72j]) > 0.7, chest.shape)
    for value in (-3024, -1000, 0, 3071):
        found = measure_tissues(take_sample(np.where(tight, np.int16(value), chest)))
        assert found.is_chest
        assert -900 <= found.low_peak_hu <= -780


def test_noise_of_air_below_the_scale_is_possible_and_padding_that_is_not_constant_too(chest, outside):
    rng = np.random.default_rng(1)
    noisy = np.rint(chest + rng.normal(0, 90, chest.shape) * (chest < -950)).astype(np.int16)
    assert (noisy < -1100).mean() > 0.01
    assert measure_tissues(take_sample(noisy)).is_chest
    unsteady = np.where(outside, np.rint(rng.normal(-2000, 6, chest.shape)), chest).astype(np.int16)
    assert measure_tissues(take_sample(unsteady)).is_chest


def test_padding_is_no_evidence_of_air(chest, outside):
    stored = np.where(outside, np.int16(-1000), chest + np.int16(1024))
    found = measure_tissues(take_sample(stored))
    assert not found.is_chest
    assert found.air_share < 0.01
    assert measure_tissues(take_sample(stored), 1.0, -1024.0).is_upright_chest


def test_metal_and_contrast_medium_are_possible(chest):
    bright = chest.copy()
    bright[10:20, 28:36, 30:44] = np.random.default_rng(2).normal(350, 25, (10, 8, 14))
    bright[5:9, 20:24, 34:38] = 3071
    assert measure_tissues(take_sample(bright)).is_chest
