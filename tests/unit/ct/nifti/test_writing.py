"""Arrays are written with their place in space, and labels must fit a byte."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsyn2.ct.affines import axis_aligned_affine
from medsyn2.ct.nifti.writing import compact, write_hu, write_label_array
from medsyn2.errors import InvalidVolumeError, MaskError

AFFINE = axis_aligned_affine((2.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def test_whole_hu_are_int16_and_others_float32(tmp_path: Path) -> None:
    for values, dtype in (([-1000.0, 40.0], np.int16), ([-1000.5, 40.0], np.float32)):
        write_hu(tmp_path / "a.nii", np.array(values).reshape(1, 1, 2), AFFINE, "a test")
        image = nibabel.load(tmp_path / "a.nii")
        assert image.get_data_dtype() == dtype
        assert np.asarray(image.dataobj).ravel().tolist() == values
    with pytest.raises(InvalidVolumeError, match="not-finite"):
        compact(np.array([np.nan]), "a")


def test_labels_above_255_are_refused(tmp_path: Path) -> None:
    write_label_array(tmp_path / "a.nii.gz", np.full((1, 1, 2), 255), AFFINE)
    with pytest.raises(MaskError, match="0 to 255"):
        write_label_array(tmp_path / "a.nii.gz", np.full((1, 1, 2), 256), AFFINE)
