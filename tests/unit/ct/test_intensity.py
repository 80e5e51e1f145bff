import numpy as np
import pytest

from medsyn2.ct.intensity import apply_window, detect_hu, hu_to_unit, mask_to_unit, to_hu, unit_to_hu
from medsyn2.ct.nifti.files import read_ct
from medsyn2.errors import IntensityError


def chest(seed=0):
    """Air, an oval body, two lungs and a spine, with the noise of a scanner."""
    d, h, w = np.ogrid[-1:1:30j, -1:1:48j, -1:1:56j]
    hu = np.full((30, 48, 56), -1000.0)
    hu[np.broadcast_to((h / 0.75) ** 2 + (w / 0.9) ** 2 < 1, hu.shape)] = 40
    for side in (-0.45, 0.4):
        hu[(d / 0.9) ** 2 + (h / 0.5) ** 2 + ((w - side) / 0.3) ** 2 < 1] = -840
    hu[np.broadcast_to((h - 0.6) ** 2 + w**2 < 0.01, hu.shape)] = 500
    noisy = hu + np.random.default_rng(seed).normal(0, 20, hu.shape)
    return np.rint(np.clip(noisy, -1024, 3071)).astype(np.int16)


def with_padding(hu, value):
    padded = hu.copy()
    padded[:, :6, :6] = padded[:, -6:, -6:] = value
    return padded


def test_hu_are_taken_as_they_are_with_and_without_a_metadata_row():
    for slope, intercept in ((None, None), (1.0, -1024.0), (1.0, -8192.0), (1.0, 0.0)):
        found = detect_hu(chest(), name="case", slope=slope, intercept=intercept)
        assert (found.convention, found.slope, found.intercept) == ("hu", 1.0, 0.0)
        assert -1020 <= found.air_hu <= -980


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (1.0, -8192.0), (0.5, -1000.0), (2.0, -1024.0)])
def test_stored_values_are_brought_to_hu_by_the_metadata_row(slope, intercept):
    stored = np.rint((chest().astype(np.float64) - intercept) / slope).astype(np.int16)
    found = detect_hu(stored, name="case", slope=slope, intercept=intercept)
    assert (found.convention, found.slope, found.intercept) == ("stored", slope, intercept)
    assert np.abs(to_hu(stored, found).astype(int) - chest()).max() <= slope / 2


def test_both_conventions_of_one_scan_give_the_same_hu():
    stored, repaired = (chest() + 1024).astype(np.uint16), chest()
    row = {"slope": 1.0, "intercept": -1024.0}
    first = to_hu(stored, detect_hu(stored, name="v1", **row))
    second = to_hu(repaired, detect_hu(repaired, name="v2", **row))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("value", [-2000, -2048, -3024, -32768])
def test_padding_outside_the_field_of_view_is_clipped_and_reported(value):
    found = detect_hu(with_padding(chest(), value), name="case")
    assert found.convention == "hu"
    assert found.padding_share == pytest.approx(72 / (48 * 56), rel=0.01)
    assert to_hu(with_padding(chest(), value), found).min() == -1024


ACCIDENTS = {
    "hu-rescaled-twice": chest() - 1024,
    "hu-stored": chest() + 1024,
    "hu-inverted": -chest(),
    "hu-wrapped": chest().astype(np.uint16).astype(np.int32),
    "hu-normalised": chest() / np.float32(1024),
    "volume-constant": np.full((30, 40, 40), -1000, np.int16),
    "hu-unclear": np.random.default_rng(0).integers(0, 30000, (30, 40, 40)).astype(np.int16),
}


@pytest.mark.parametrize("code", ACCIDENTS)
def test_each_accident_has_its_code_and_is_never_repaired(code):
    with pytest.raises(IntensityError) as caught:
        detect_hu(ACCIDENTS[code], name="case.nii.gz")
    assert caught.value.code == code
    assert caught.value.message.startswith("case.nii.gz: expected")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (chest() - 8192, "hu-rescaled-twice"),
        (np.int16(4095) - (chest() + np.int16(1024)), "hu-inverted"),
        (np.int16(1000) - chest(), "hu-inverted"),
        (chest() + 8192, "hu-stored"),
        ((chest().clip(-1024, 1000).astype(np.float32) + 1024) / 2024 * 255, "hu-normalised"),
        (with_padding(chest() - 1024, -5000), "hu-rescaled-twice"),
    ],
)
def test_variants_of_the_accidents(values, code):
    with pytest.raises(IntensityError, match=code):
        detect_hu(values, name="case")


@pytest.mark.parametrize("intercept", [-1024.0, -1000.0, -8192.0])
def test_inverted_values_are_not_taken_for_stored_ones(intercept):
    with pytest.raises(IntensityError):
        detect_hu(-chest(), name="case", slope=1.0, intercept=intercept)


def test_what_is_stated_is_still_checked():
    row = {"slope": 1.0, "intercept": -1024.0}
    assert detect_hu(chest(), name="case", convention="hu", **row).convention == "hu"
    assert detect_hu(chest() + 1024, name="case", convention="stored", **row).convention == "stored"
    with pytest.raises(IntensityError, match="hu-stored"):
        detect_hu(chest() + 1024, name="case", convention="hu", **row)
    with pytest.raises(IntensityError, match="hu-not-stored"):
        detect_hu(chest(), name="case", convention="stored", **row)
    with pytest.raises(IntensityError, match="hu-no-metadata"):
        detect_hu(chest() + 1024, name="case", convention="stored")
    assert detect_hu(chest(), name="case", convention="stored", slope=1.0, intercept=0.0).intercept == 0.0


def test_an_unclear_file_can_be_settled_by_the_configuration():
    airless = np.where(chest() < -700, -150, chest()).astype(np.int16)
    with pytest.raises(IntensityError, match="hu_convention: hu") as caught:
        detect_hu(airless, name="case")
    assert caught.value.code == "hu-unclear"
    assert detect_hu(airless, name="case", convention="hu").convention == "hu"


def test_hu_to_unit_and_back():
    hu = np.array([-2000, -1024, -512, 0, 1, 1023, 1024, 3071], np.int16)
    unit = hu_to_unit(hu, (-1024.0, 1024.0))
    assert unit.dtype == np.float32
    assert np.allclose(unit, [-1, -1, -0.5, 0, 1 / 1024, 1023 / 1024, 1, 1])
    assert np.array_equal(unit_to_hu(unit, (-1024.0, 1024.0)), np.clip(hu, -1024, 1024))
    every = np.arange(-1000, 601, dtype=np.int16)
    assert np.array_equal(unit_to_hu(hu_to_unit(every, (-1000.0, 600.0)), (-1000.0, 600.0)), every)


def test_a_network_output_that_is_not_finite_is_refused():
    with pytest.raises(IntensityError, match="unit-not-finite"):
        unit_to_hu(np.array([0.0, np.nan]), (-1024.0, 1024.0))


def test_a_window_goes_from_0_to_1():
    assert np.allclose(apply_window(np.array([-2000, -1350, -600, 150, 900]), (-1350.0, 150.0)), [0, 0, 0.5, 1, 1])


@pytest.mark.realdata
def test_real_cts_are_hu_and_every_spoilt_copy_is_noticed(real_data):
    for path in sorted((real_data / "ct").glob("*.nii.gz")):
        hu = read_ct(path).hu
        assert detect_hu(hu, name=path.name).convention == "hu"
        row = {"slope": 1.0, "intercept": -8192.0}
        assert detect_hu(hu + 8192, name=path.name, **row).convention == "stored"
        for code, spoilt in (
            ("hu-stored", hu + 1024),
            ("hu-rescaled-twice", hu - 1024),
            ("hu-inverted", -hu),
            ("hu-wrapped", hu.astype(np.uint16).astype(np.int32)),
        ):
            with pytest.raises(IntensityError, match=code):
                detect_hu(spoilt, name=path.name)
        for intercept in (-1024.0, -1000.0, -8192.0):
            with pytest.raises(IntensityError):
                detect_hu(-hu, name=path.name, slope=1.0, intercept=intercept)


def test_a_mask_becomes_values_around_zero() -> None:
    unit = mask_to_unit(np.array([[[True, False]]]))
    assert unit.dtype == np.float32
    assert unit.tolist() == [[[0.5, -0.5]]]
