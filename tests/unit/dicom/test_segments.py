"""A segmentation is a mask wherever masks are read; several structures are not taken for one."""

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.dicom.ct_image import MadeBy
from medsyn2.dicom.segments import is_segmentation, read_segments
from medsyn2.dicom.writing import SEGMENTATION, dicom_files, write_folder
from medsyn2.errors import MaskError
from medsyn2.formats import read_labels, read_mask
from medsyn2.vocabulary import EDITED_REGION
from tests.series import counted, series_affine

AFFINE = axis_aligned_affine((4.0, 3.0, 2.0), (-10.0, 20.0, 30.0))
VOLUME = CTVolume(counted(), series_affine())


def mask(first: int) -> np.ndarray:
    found = np.zeros(VOLUME.shape, bool)
    found[first : first + 2, 2:5, 3:7] = True
    return found


def write(folder, **masks):
    write_folder(folder, VOLUME, {name.replace("_", " "): one for name, one in masks.items()}, MadeBy("m", "{}", "s"))
    return folder / SEGMENTATION


def positions(label_map):
    """Return the world positions of a mask's voxels, which no cropping changes."""
    index = np.argwhere(label_map.binary())
    return {tuple(row) for row in (index @ label_map.affine_mm[:3, :3].T + label_map.affine_mm[:3, 3]).round(3)}


def test_one_structure_is_read_in_its_place(tmp_path):
    path = write(tmp_path / "one", heart=mask(1), edited_region=mask(0))
    assert is_segmentation(path)
    assert not is_segmentation(tmp_path / "one/CT0001.dcm")
    found, notes = read_mask(path)
    expected = np.argwhere(mask(1)) @ VOLUME.affine_mm[:3, :3].T + VOLUME.affine_mm[:3, 3]
    assert positions(found) == {tuple(row) for row in expected.round(3)}
    assert notes == ()
    assert positions(read_labels(path)) == positions(found)
    assert set(read_segments(path)) == {"heart", EDITED_REGION}


def test_several_structures_are_named(tmp_path):
    path = write(tmp_path / "two", heart=mask(1), lung_nodules=mask(3))
    with pytest.raises(MaskError, match="heart, lung nodules") as caught:
        read_mask(path)
    assert caught.value.code == "segments-several"


@pytest.fixture(scope="module")
def masks():
    first, second = np.zeros((2, 5, 8, 9), bool)
    first[1:4, 2:6, 3:7] = True
    second[3, 5, 1:8] = True  # which overlaps the first, on one slice
    return {"heart": first, "my own words": second}


@pytest.fixture(scope="module")
def content(masks):
    volume = CTVolume(np.zeros((5, 8, 9), np.int16), AFFINE)
    return dict(dicom_files(volume, masks, MadeBy("0" * 64, "{}", "seed 0")))["SEG.dcm"]


def test_overlapping_segments_come_back_in_their_place(tmp_path, masks, content):
    (tmp_path / "SEG.dcm").write_bytes(content)
    found = read_segments(tmp_path / "SEG.dcm")
    assert list(found) == list(masks)
    for name, mask in masks.items():
        whole = np.zeros_like(mask)
        at = np.linalg.inv(AFFINE) @ found[name].affine_mm[:, 3]
        depth, height, width = np.rint(at[:3]).astype(int)
        part = found[name].labels
        whole[depth : depth + part.shape[0], height : height + part.shape[1], width : width + part.shape[2]] = part
        np.testing.assert_array_equal(whole, mask)
        assert isinstance(found[name], LabelMap)


@pytest.mark.parametrize("size", [0, 3, 132, 700, 2000])
def test_a_damaged_file_is_refused(tmp_path, content, size):
    (tmp_path / "SEG.dcm").write_bytes(content[:size])
    with pytest.raises(MaskError) as caught:
        read_segments(tmp_path / "SEG.dcm")
    assert caught.value.code == "segmentation-unreadable"
