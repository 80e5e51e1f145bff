import numpy as np
import pytest
from highdicom.seg import segread
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.codedict import codes

from medsyn2.ct.volume import CTVolume
from medsyn2.dicom.ct_image import MadeBy, ct_datasets
from medsyn2.dicom.segmentation import CODES, segmentation
from medsyn2.dicom.writing import dicom_files, write_folder, write_zip
from medsyn2.vocabulary import STRUCTURES
from tests.series import counted, oblique_affine

MADE_BY = MadeBy("b" * 64, "{}", "seed 2")
VOLUME = CTVolume(counted(), oblique_affine())


def boxes() -> dict[str, np.ndarray]:
    """Two masks that overlap, of a structure and of other words."""
    heart, other = np.zeros(VOLUME.shape, bool), np.zeros(VOLUME.shape, bool)
    heart[1:4, 2:6, 2:6], other[2:6, 4:8, 4:8] = True, True
    return {"heart": heart, "calcified lymph node": other}


def test_masks_come_back_with_their_place_codes_and_mark(tmp_path):
    write_folder(tmp_path / "out", VOLUME, boxes(), MADE_BY)
    read = segread(tmp_path / "out/SEG.dcm")
    sources = [one.SOPInstanceUID for one in ct_datasets(VOLUME, MADE_BY)]
    found = read.get_pixels_by_source_instance(sources, assert_missing_frames_are_empty=True)
    for number, mask in enumerate(boxes().values()):
        np.testing.assert_array_equal(found[..., number], mask)
    volume = read.get_volume()
    np.testing.assert_allclose(np.abs(np.linalg.det(volume.affine[:3, :3])), np.prod(VOLUME.spacing_mm), rtol=1e-5)
    assert read.SyntheticData == "YES"
    assert [one.SegmentLabel for one in read.SegmentSequence] == list(boxes())
    first, second = (read.get_segment_description(number) for number in (1, 2))
    assert first.segmented_property_type == codes.SCT.Heart
    assert second.segmented_property_type.scheme_designator == "99MEDSYN2"
    assert "RecommendedDisplayCIELabValue" in first
    assert read.ReferencedSeriesSequence[0].SeriesInstanceUID == ct_datasets(VOLUME, MADE_BY)[0].SeriesInstanceUID


def test_an_empty_mask_is_a_segment_without_a_voxel():
    empty = {"lung nodules": np.zeros(VOLUME.shape, bool)}
    found = segmentation(ct_datasets(VOLUME, MADE_BY), empty, MADE_BY)
    assert not found.pixel_array.any()
    assert found.SegmentSequence[0].SegmentLabel == "lung nodules"


@pytest.mark.parametrize("structure", STRUCTURES)
def test_each_structure_has_a_code_that_the_standard_lists_or_one_of_our_own(structure):
    category, kind = CODES[structure]
    listed = concepts.get(kind.scheme_designator, {}).values()
    assert kind.scheme_designator == "99MEDSYN2" or any(kind.value in values for values in listed)
    assert any(category.value in values for values in concepts["SCT"].values())


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    assert list(dicom_files(VOLUME, boxes(), MADE_BY)) == list(dicom_files(VOLUME, boxes(), MADE_BY))
    for name in ("a.zip", "b.zip"):
        write_zip(tmp_path / name, VOLUME, boxes(), MADE_BY)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
