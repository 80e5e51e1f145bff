import numpy as np
import pytest

from medsyn2.ct.volume import axis_aligned_affine
from medsyn2.ct.voxel_file import VoxelFile, orientation_of
from medsyn2.errors import MaskError
from medsyn2.formats.payload import ImageFile


def file(values: np.ndarray, description: str = "") -> VoxelFile:
    return ImageFile("a.mha", values, (), description, None)


def test_a_ct_lies_where_the_affine_puts_it():
    values = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    affine = axis_aligned_affine((2.0, 1.0, 1.0), (0.0, 0.0, 0.0))[:, [2, 1, 0, 3]]
    volume = file(values).read_ct(affine)
    np.testing.assert_array_equal(volume.hu, values.transpose(2, 1, 0))
    assert orientation_of(affine) == "LPS"


def test_the_first_word_of_the_description_tells_a_synthetic_volume():
    values = np.zeros((2, 2, 2), np.int16)
    assert file(values, "SYNTHETIC medsyn2").is_synthetic
    assert file(values, "SYNTHETIC medsyn2").ct(np.eye(4)).is_synthetic
    assert not file(values, "a scan, not SYNTHETIC").is_synthetic
    assert not file(values, "a scan, not SYNTHETIC").ct(np.eye(4)).is_synthetic


@pytest.mark.parametrize("values", [np.full((2, 2, 2), -1), np.full((2, 2, 2), 0.5)])
def test_values_that_are_no_labels_are_refused(values):
    with pytest.raises(MaskError, match="labels-not-labels"):
        file(values).read_labels()
