import gzip

import nibabel as nib
import numpy as np
import pytest

from medsyn2.cohort.file_state import content_of
from medsyn2.cohort.volumes import inspect_case, read_case
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import CaseError, GeometryError, IntensityError, InvalidVolumeError, UnreachableVolumeError
from medsyn2.facts import InventoryFacts
from medsyn2.formats import list_series, write_ct
from medsyn2.phantoms.scanner import draw_acquisition, scan
from medsyn2.phantoms.subject import draw_subject
from medsyn2.reports.table import Acquisition
from tests.series import write_series

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SPACING_MM = (0.8, 0.8, 3.0)
ROW = Acquisition(1.0, -1024.0, SPACING_MM, (-20.0, 30.0, -200.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (44, 40, 36))
AFFINE = axis_aligned_affine((3.0, 0.8, 0.8), (-20.0, 30.0, -200.0))


def chest(depth=36):
    """Air with a body and one lung, so that left and right differ; every slice has its own noise."""
    hu = np.full((depth, 40, 44), -1000.0)
    hu[:, 8:34, 5:40] = 40
    hu[2:-2, 12:28, 8:18] = -850
    return np.rint(hu + np.random.default_rng(0).normal(0, 15, hu.shape)).clip(-1024).astype(np.int16)


def save(path, hu, ras=None, dtype=np.int16):
    """Save an array (depth, height, width) as CT-RATE does: width first, with the given RAS affine or none."""
    image = nib.Nifti1Image(hu.transpose(2, 1, 0).astype(dtype), ras)
    if ras is None:
        image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, path)


@pytest.fixture(scope="module")
def phantom():
    """A chest that shows its directions."""
    subject = draw_subject(0, 2)
    return scan(subject, draw_acquisition(subject, 4.0)).volume


def damage_affine(path):
    """Put NaN where a file keeps the first row of its affine."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[280:296] = np.full(4, np.nan, "<f4").tobytes()
    path.write_bytes(gzip.compress(content))


def test_an_ordinary_file_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_ct(path, CTVolume(chest(), AFFINE))
    facts = inspect_case(path, None, "detect")
    volume = read_case(facts)
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, chest())
    assert np.abs(volume.affine_mm - AFFINE).max() < 1e-4
    assert facts.path == str(path)
    assert (facts.shape, facts.orientation, facts.affine_repair) == ((36, 40, 44), "LPS", None)
    assert np.allclose(facts.spacing_mm, (3.0, 0.8, 0.8))


def test_both_versions_of_a_ct_rate_scan_become_the_same_volume(tmp_path):
    save(tmp_path / "v1.nii.gz", chest() + 1024, None, np.uint16)
    save(tmp_path / "v1_identity.nii.gz", chest() + 1024, np.eye(4))
    save(tmp_path / "v1_nan.nii.gz", chest() + 1024, np.eye(4))
    damage_affine(tmp_path / "v1_nan.nii.gz")
    save(tmp_path / "v2.nii.gz", chest(), RAS_TO_LPS @ AFFINE[:, [2, 1, 0, 3]])
    volumes = {}
    for version in ("v1", "v1_identity", "v1_nan", "v2"):
        facts = inspect_case(tmp_path / f"{version}.nii.gz", ROW, "detect")
        volumes[version] = read_case(facts)
        assert facts.hu.convention == ("hu" if version == "v2" else "stored")
        assert (facts.affine_repair is None) == (version == "v2")
        assert bool(facts.warnings) == (version != "v2")
    for volume in volumes.values():
        assert np.array_equal(volume.hu, chest())
        assert np.abs(volume.affine_mm - AFFINE).max() < 1e-4


def test_a_tilted_orientation_of_the_table_places_columns_and_rows_as_dicom_does(tmp_path):
    angle = np.deg2rad(10)
    tilted = (1.0, 0.0, 0.0, 0.0, np.cos(angle), np.sin(angle))
    row = Acquisition(1.0, -1024.0, SPACING_MM, (1.0, 2.0, 3.0), tilted, (44, 40, 36))
    save(tmp_path / "ct.nii.gz", chest() + 1024)
    volume = read_case(inspect_case(tmp_path / "ct.nii.gz", row, "detect"))
    to_world = np.array(tilted[3:]) * 0.8
    assert np.allclose((volume.affine_mm @ (0, 1, 0, 1) - volume.affine_mm @ (0, 0, 0, 1))[:3], to_world)


def test_without_a_table_no_geometry_is_refused(tmp_path):
    for name, ras, code in (
        ("missing", None, "affine-missing"),
        ("identity", np.eye(4), "affine-identity"),
        ("lps_identity", RAS_TO_LPS, "affine-identity"),
    ):
        save(tmp_path / f"{name}.nii.gz", chest(120), ras)
        with pytest.raises(GeometryError) as caught:
            inspect_case(tmp_path / f"{name}.nii.gz", None, "detect")
        assert caught.value.code == code


def test_a_true_millimetre_grid_with_an_origin_is_accepted(tmp_path):
    affine = axis_aligned_affine((1.0, 1.0, 1.0), (-22.0, 14.0, -300.0))
    write_ct(tmp_path / "ct.nii.gz", CTVolume(chest(120), affine))
    assert inspect_case(tmp_path / "ct.nii.gz", None, "detect").spacing_mm == (1.0, 1.0, 1.0)


def test_a_header_and_a_table_that_contradict_are_refused(tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_ct(path, CTVolume(chest(60), axis_aligned_affine((2.0, 0.8, 0.8), (0.0, 0.0, 0.0))))
    with pytest.raises(GeometryError, match="spacing-contradicts-metadata"):
        inspect_case(path, ROW, "detect")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"size": (44, 40, 35)}, "shape-contradicts-metadata"),
        ({"orientation": None}, "affine-missing"),
        ({"orientation": (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)}, "metadata-geometry"),
        ({"spacing_mm": (0.8, 0.8, 0.0)}, "metadata-geometry"),
        ({"spacing_mm": None}, "affine-missing"),
    ],
)
def test_a_table_that_cannot_place_the_file_is_refused(tmp_path, changes, code):
    save(tmp_path / "ct.nii.gz", chest() + 1024)
    with pytest.raises(GeometryError) as caught:
        inspect_case(tmp_path / "ct.nii.gz", Acquisition(**{**vars(ROW), **changes}), "detect")
    assert caught.value.code == code


def test_values_that_are_not_hu_are_refused(tmp_path):
    write_ct(tmp_path / "ct.nii.gz", CTVolume(chest() - np.int16(1024), AFFINE))
    with pytest.raises(IntensityError, match="hu-rescaled-twice"):
        inspect_case(tmp_path / "ct.nii.gz", ROW, "detect")


@pytest.mark.parametrize("slices", [12, 30])
def test_too_short_a_volume_is_refused(tmp_path, slices):
    write_ct(tmp_path / "ct.nii.gz", CTVolume(chest(slices), AFFINE))
    with pytest.raises(InvalidVolumeError, match="volume-too-short"):
        inspect_case(tmp_path / "ct.nii.gz", None, "detect")


def test_a_file_that_was_replaced_since_is_refused(tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_ct(path, CTVolume(chest(), AFFINE))
    facts = inspect_case(path, None, "detect")
    write_ct(path, CTVolume(chest(50), AFFINE))
    with pytest.raises(InvalidVolumeError, match="file-changed"):
        read_case(facts)


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nii"])
def test_a_changed_voxel_of_the_file_that_the_inventory_hashed_is_refused_until_it_is_back(tmp_path, name):
    path = tmp_path / name
    write_ct(path, CTVolume(chest(), AFFINE))
    whole = path.read_bytes()
    scan = vars(inspect_case(path, None, "detect"))
    facts = InventoryFacts(
        **scan, subject="a", split="train", position=0, content=content_of(path), report=None, labels=None
    )
    hu = chest()
    hu[20, 20, 20] += 1
    write_ct(path, CTVolume(hu, AFFINE))
    with pytest.raises(UnreachableVolumeError, match="file-changed") as caught:
        read_case(facts)
    assert caught.value.retry
    path.write_bytes(whole)
    assert np.array_equal(read_case(facts).hu, chest().clip(-1024))


def test_padding_is_clipped_and_told(tmp_path):
    hu = chest()
    hu[:, :5] = -3024
    write_ct(tmp_path / "ct.nii.gz", CTVolume(hu, AFFINE))
    facts = inspect_case(tmp_path / "ct.nii.gz", None, "detect")
    assert "padding" in facts.warnings[0]
    assert read_case(facts).hu.min() == -1024


def test_corners_of_another_value_become_air_and_the_rest_keeps_its_values(tmp_path):
    hu = chest()
    hu[:, :6] = 0
    write_ct(tmp_path / "ct.nii.gz", CTVolume(hu, AFFINE))
    facts = inspect_case(tmp_path / "ct.nii.gz", None, "detect")
    assert [part.value for part in facts.padding] == [0.0]
    read = read_case(facts).hu
    assert (read[:, :6] == -1024).all()
    assert np.array_equal(read[:, 8:], hu[:, 8:])


def test_facts_of_a_file_without_padding_do_not_mention_it(tmp_path):
    write_ct(tmp_path / "ct.nii.gz", CTVolume(chest(), AFFINE))
    assert inspect_case(tmp_path / "ct.nii.gz", None, "detect").padding is None


@pytest.mark.slow
@pytest.mark.realdata
def test_all_real_cts_are_usable(real_data):
    paths = [*sorted((real_data / "ct").glob("*.nii.gz")), *(real_data / "native").glob("*.nii.gz")]
    assert len(paths) == 10
    for path in paths:
        facts = inspect_case(path, None, "detect")
        assert facts.hu.convention == "hu"
        assert facts.warnings == ()
        assert read_case(facts).shape == facts.shape


@pytest.mark.parametrize("fill", [0, -1024])
def test_blank_slices_at_the_ends_are_no_field_of_view(tmp_path, fill):
    path = tmp_path / "ct.nii.gz"
    hu = chest(60)
    hu[:8], hu[-5:] = fill, fill
    write_ct(path, CTVolume(hu, AFFINE))
    facts = inspect_case(path, None, "detect")
    volume = read_case(facts)
    assert (facts.shape[0], facts.slices) == (60, (8, 55))
    assert np.array_equal(volume.hu, hu[8:55])
    assert np.allclose(volume.affine_mm @ (0, 0, 0, 1), AFFINE @ (8, 0, 0, 1), atol=1e-3)
    assert any("13 slices" in warning for warning in facts.warnings)


@pytest.mark.parametrize(
    ("blank", "code"),
    [
        (slice(0, 30), "volume-too-short"),
        (slice(25, 30), "slices-blank"),
        (slice(25, 28), None),
        (slice(0, 3), None),
        (slice(0, 0), None),
    ],
)
def test_blank_slices_that_leave_too_little_or_a_gap_are_refused(tmp_path, blank, code):
    path = tmp_path / "ct.nii.gz"
    hu = chest(60)
    hu[blank] = -1024
    write_ct(path, CTVolume(hu, AFFINE))
    if code is None:
        assert inspect_case(path, None, "detect").slices is None
        return
    with pytest.raises(InvalidVolumeError) as caught:
        inspect_case(path, None, "detect")
    assert caught.value.code == code


def test_a_chest_that_lies_otherwise_is_refused_unless_the_header_is_trusted(tmp_path, phantom):
    path = tmp_path / "ct.nii.gz"
    write_ct(path, CTVolume(np.ascontiguousarray(phantom.hu[::-1]), phantom.affine_mm))
    with pytest.raises(GeometryError) as caught:
        inspect_case(path, None, "detect")
    assert caught.value.code == "upside-down"
    assert "the shoulders lie beside the lungs' lower end" in caught.value.message
    facts = inspect_case(path, None, "detect", "trust")
    assert facts.anatomy.findings is None
    assert any("up and down exchanged" in warning for warning in facts.warnings)


def test_a_mirrored_chest_is_a_warning(tmp_path, phantom):
    path = tmp_path / "ct.nii.gz"
    write_ct(path, CTVolume(np.ascontiguousarray(phantom.hu[:, :, ::-1]), phantom.affine_mm))
    facts = inspect_case(path, None, "detect")
    assert facts.anatomy.findings == ("mirrored",)
    assert any("left and right exchanged" in warning for warning in facts.warnings)
    write_ct(path, phantom)
    assert inspect_case(path, None, "detect").anatomy.findings == ()


def test_a_dicom_series_is_read_as_the_file_of_its_volume(tmp_path):
    write_series(tmp_path / "study", chest(), AFFINE)
    write_series(tmp_path / "study/scout", chest()[:2], AFFINE, series="1.2.3.9")
    series = list_series(tmp_path / "study")[0]
    facts = inspect_case(tmp_path / "study", None, "detect", series=series)
    assert facts.series == series
    assert "1.2.3.4" not in repr(facts)
    volume = read_case(facts)
    np.testing.assert_array_equal(volume.hu, chest())
    assert np.abs(volume.affine_mm - AFFINE).max() < 1e-4
    write_ct(tmp_path / "ct.mha", CTVolume(chest(), AFFINE))
    assert inspect_case(tmp_path / "ct.mha", None, "detect").image == facts.image
    before = content_of(tmp_path / "study")
    assert before == content_of(tmp_path / "study")
    write_series(tmp_path / "study", chest() + 1, AFFINE, only=[3])
    assert content_of(tmp_path / "study") not in (None, before)
    (tmp_path / "study/0003.dcm").unlink()
    with pytest.raises(CaseError):
        read_case(facts)
