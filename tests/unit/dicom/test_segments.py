"""Segmentations as masks, of our own making and damaged."""

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.dicom.ct_image import MadeBy
from medsyn2.dicom.segments import read_segments
from medsyn2.dicom.writing import dicom_files
from medsyn2.errors import MaskError

AFFINE = axis_aligned_affine((4.0, 3.0, 2.0), (-10.0, 20.0, 30.0))


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
