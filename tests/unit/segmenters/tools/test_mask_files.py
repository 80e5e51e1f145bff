"""A user's own mask files."""

import numpy as np
import pytest

from medsyn2.config import SegmentConfig
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import MaskError, SegmenterError
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.vocabulary import LOBES

AFFINE = axis_aligned_affine((2.0, 1.0, 1.0), (5.0, 6.0, 7.0))
VOLUME = CTVolume(np.zeros((8, 9, 10), np.int16), AFFINE)


def reader(folder) -> Segmenter:
    return get_segmenter("files", SegmentConfig(mask_files=f"{folder}/{{case}}_{{structure}}.nii.gz"))


def box(value: int, shape: tuple[int, int, int] = VOLUME.shape) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[2:5, 3:6, 1:7] = value
    return labels


def test_any_number_is_the_structure_and_lobes_keep_theirs(tmp_path) -> None:
    write_labels(tmp_path / "a_heart.nii.gz", LabelMap(box(7), AFFINE))
    write_labels(tmp_path / "a_lobes.nii.gz", LabelMap(box(4), AFFINE))
    found = reader(tmp_path).segment(VOLUME, ["heart", "lobes"], case="a")
    np.testing.assert_array_equal(found["heart"].labels, box(1))
    assert found["heart"].names == {1: "heart"}
    np.testing.assert_array_equal(found["lobes"].labels, box(4))
    assert found["lobes"].names == LOBES


@pytest.mark.parametrize(("first", "last"), [(0, 6), (2, 8), (1, 7)])
def test_slices_that_the_ct_leaves_out_are_left_out_of_a_mask(tmp_path, first, last) -> None:
    write_labels(tmp_path / "a_heart.nii.gz", LabelMap(box(1), AFFINE))
    affine = AFFINE.copy()
    affine[:, 3] = AFFINE @ (first, 0, 0, 1)
    part = CTVolume(VOLUME.hu[first:last], affine)
    found = reader(tmp_path).segment(part, ["heart"], case="a")["heart"]
    np.testing.assert_array_equal(found.labels, box(1)[first:last])
    assert np.allclose(found.affine_mm, affine, atol=1e-4)


def test_what_a_file_cannot_be(tmp_path) -> None:
    write_labels(tmp_path / "a_lobes.nii.gz", LabelMap(box(9), AFFINE))
    write_labels(tmp_path / "a_heart.nii.gz", LabelMap(box(1, (8, 9, 11)), AFFINE))
    files = reader(tmp_path)
    with pytest.raises(MaskError):
        files.segment(VOLUME, ["lobes"], case="a")
    with pytest.raises(SegmenterError, match="the shape"):
        files.segment(VOLUME, ["heart"], case="a")
    for case in ("b", ""):
        with pytest.raises(SegmenterError, match="does not exist"):
            files.segment(VOLUME, ["heart"], case=case)
