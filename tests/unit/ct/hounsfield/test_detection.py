import numpy as np
import pytest

from medsyn2.ct.hounsfield.detection import detect_hu
from medsyn2.ct.intensity import to_hu
from medsyn2.ct.nifti.files import read_ct
from medsyn2.errors import IntensityError
from tests.unit.ct.hounsfield.chests import make_chest


def chest():
    return make_chest().clip(-1024)


def scale_of(*args, **kwargs):
    return detect_hu(*args, **kwargs).scale


def with_padding(hu, value):
    padded = hu.copy()
    padded[:, :6, :6] = padded[:, -6:, -6:] = value
    return padded


def test_hu_are_taken_as_they_are_with_and_without_a_metadata_row():
    for slope, intercept in ((None, None), (1.0, -1024.0), (1.0, -8192.0), (1.0, 0.0)):
        found = scale_of(chest(), name="case", slope=slope, intercept=intercept)
        assert (found.convention, found.slope, found.intercept) == ("hu", 1.0, 0.0)
        assert -1020 <= found.air_hu <= -980


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (1.0, -8192.0), (0.5, -1000.0), (2.0, -1024.0)])
def test_stored_values_are_brought_to_hu_by_the_metadata_row(slope, intercept):
    stored = np.rint((chest().astype(np.float64) - intercept) / slope).astype(np.int16)
    found = scale_of(stored, name="case", slope=slope, intercept=intercept)
    assert (found.convention, found.slope, found.intercept) == ("stored", slope, intercept)
    assert np.abs(to_hu(stored, found).astype(int) - chest()).max() <= slope / 2


def test_both_conventions_of_one_scan_give_the_same_hu():
    stored, repaired = (chest() + 1024).astype(np.uint16), chest()
    row = {"slope": 1.0, "intercept": -1024.0}
    first = to_hu(stored, scale_of(stored, name="v1", **row))
    second = to_hu(repaired, scale_of(repaired, name="v2", **row))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("value", [-2000, -2048, -3024, -32768])
def test_padding_outside_the_field_of_view_is_clipped_and_told(value):
    found = detect_hu(with_padding(chest(), value), name="case")
    assert found.scale.convention == "hu"
    assert found.padding is None
    assert "1.6% of the voxels are padding" in found.notes[0]
    assert to_hu(with_padding(chest(), value), found.scale).min() == -1024


@pytest.mark.parametrize("value", [-900, 0, 63, 3071])
def test_padding_that_would_be_taken_for_tissue_is_recorded(value):
    found = detect_hu(with_padding(chest(), value), name="case")
    assert value in [part.value for part in found.padding]
    assert "are read as air" in found.notes[0]


def test_padding_in_the_middle_of_the_range_is_kept_as_it_is():
    found = detect_hu(with_padding(chest(), -1000), name="case")
    assert (found.padding, found.notes) == (None, ())


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
        (with_padding(chest() + 1024, -1000), "hu-stored"),
        (chest().clip(-160, 240), "hu-cut"),
        (chest().clip(-800, 3071), "hu-cut"),
    ],
)
def test_variants_of_the_accidents(values, code):
    with pytest.raises(IntensityError, match=code):
        detect_hu(values, name="case")


@pytest.mark.parametrize("intercept", [-1024.0, -1000.0, -8192.0])
def test_inverted_values_are_not_taken_for_stored_ones(intercept):
    with pytest.raises(IntensityError):
        detect_hu(-chest(), name="case", slope=1.0, intercept=intercept)


def test_what_is_stated_wins_with_a_note_of_all_that_speaks_against_it():
    row = {"slope": 1.0, "intercept": -1024.0}
    for values, convention in ((chest(), "hu"), (chest() + 1024, "stored")):
        found = detect_hu(values, name="case", convention=convention, **row)
        assert (found.scale.convention, found.notes) == (convention, ())
    found = detect_hu(chest() + 1024, name="case", convention="hu", **row)
    assert found.scale.convention == "hu"
    assert "taken as hu, as stated, though they look like stored values" in found.notes[0]
    found = detect_hu(chest(), name="case", convention="stored", **row)
    assert found.scale.intercept == -1024
    assert "look like values that are HU already" in found.notes[0]
    assert detect_hu(-chest(), name="case", convention="hu").notes
    notes = detect_hu(chest().clip(-160, 240), name="case", convention="hu").notes
    assert any("cut at -160" in note for note in notes)


def test_what_cannot_be_hu_is_refused_whoever_states_it():
    for values, convention, code in (
        (np.full((30, 40, 40), -1000, np.int16), "hu", "volume-constant"),
        (chest() / np.float32(1024), "hu", "hu-normalised"),
        (with_padding(chest() / np.float32(1024), -1000), "hu", "hu-normalised"),
        (chest() + 1024, "stored", "hu-no-metadata"),
    ):
        with pytest.raises(IntensityError, match=code):
            detect_hu(values, name="case", convention=convention)


def test_an_unclear_file_can_be_settled_by_the_configuration():
    airless = np.where(chest() < -700, chest() + 700, chest()).astype(np.int16)
    with pytest.raises(IntensityError, match="hu_convention: hu") as caught:
        detect_hu(airless, name="case")
    assert caught.value.code == "hu-unclear"
    assert detect_hu(airless, name="case", convention="hu").scale.convention == "hu"


def test_a_cut_range_is_told():
    assert detect_hu(chest().clip(-1000, 200), name="case").notes == ("the HU are cut at 200: no bone above it",)


def test_parts_without_any_image_are_refused():
    blocks = np.zeros((30, 40, 40), np.int16)
    blocks[:, 20:] = 700
    with pytest.raises(IntensityError, match="flat areas from 0 to 700 alone"):
        detect_hu(blocks, name="case")


@pytest.mark.slow
@pytest.mark.realdata
def test_real_cts_are_hu_and_every_spoilt_copy_is_noticed(real_data):
    for path in sorted((real_data / "ct").glob("*.nii.gz")):
        # An eighth of the voxels has the same tissues.
        hu = read_ct(path).hu[::2, ::2, ::2]
        assert detect_hu(hu, name=path.name).scale.convention == "hu"
        row = {"slope": 1.0, "intercept": -8192.0}
        assert detect_hu(hu + 8192, name=path.name, **row).scale.convention == "stored"
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
