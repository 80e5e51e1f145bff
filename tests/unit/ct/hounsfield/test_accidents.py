import numpy as np
import pytest

from medsyn2.ct.hounsfield.accidents import accident_error, find_accident, is_normalised, is_too_narrow
from medsyn2.ct.hounsfield.evidence import measure_tissues
from medsyn2.ct.hounsfield.padding import take_sample

SPOILT = {
    "hu-rescaled-twice": lambda hu: hu - np.int16(1024),
    "hu-stored": lambda hu: hu + np.int16(1024),
    "hu-inverted": lambda hu: -hu,
    "hu-wrapped": lambda hu: hu.astype(np.uint16).astype(np.int32),
    "hu-normalised": lambda hu: (hu.clip(-1024, 1000).astype(np.float32) + 1024) / 2024,
    "hu-cut": lambda hu: hu.clip(-160, 240),
    "hu-unclear": lambda hu: np.rint(hu / 2).astype(np.int16),
}


def accident(values):
    sample = take_sample(values)
    return find_accident(sample, measure_tissues(sample), None)


@pytest.mark.parametrize("code", SPOILT)
@pytest.mark.parametrize("padding", [None, -3024, -1000])
def test_an_accident_is_recognised_behind_any_padding(chest, outside, code, padding):
    spoilt = SPOILT[code](chest)
    padded = spoilt if padding is None else np.where(outside, spoilt.dtype.type(padding), spoilt)
    assert accident(padded).code == code


def test_an_error_names_the_file_the_finding_and_the_padding(chest, outside):
    sample = take_sample(np.where(outside, np.int16(-1000), chest + np.int16(1024)))
    as_is = measure_tissues(sample)
    error = accident_error("case.nii.gz", find_accident(sample, as_is, None), sample, as_is)
    assert error.message.startswith("case.nii.gz: expected HU, got stored values")
    assert "beside padding of -1000" in error.message


def test_shades_of_a_picture_are_normalised_and_hu_are_not(chest):
    shades = take_sample(((chest.clip(-1024, 1000) + 1024.0) / 2024 * 255).astype(np.int16))
    assert is_normalised(shades)
    assert is_too_narrow(shades, 1.0)
    assert not is_normalised(take_sample(chest))
    assert not is_too_narrow(take_sample(chest), 1.0)
    assert is_too_narrow(take_sample(chest / np.float32(1000)), 1.0)
    assert not is_too_narrow(take_sample(chest / np.float32(1000)), 1000.0)
