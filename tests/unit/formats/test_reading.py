import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.formats import read_ct, read_labels, read_mask, write_labels
from tests.series import counted, series_affine, write_series

VOLUME = CTVolume(counted(), series_affine())
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


def test_labels_and_masks_come_back_from_each_format(tmp_path):
    labels = LabelMap((VOLUME.hu > -800).astype(np.uint8), VOLUME.affine_mm)
    for suffix in SUFFIXES:
        write_labels(tmp_path / f"mask{suffix}", labels, description="SYNTHETIC")
        assert np.array_equal(read_labels(tmp_path / f"mask{suffix}").labels, labels.labels)
        assert np.array_equal(read_mask(tmp_path / f"mask{suffix}")[0].labels, labels.labels != 0)


@pytest.mark.parametrize("place", ["folder", "slice", "slice without a suffix"])
def test_a_folder_of_slices_or_one_of_them_is_a_volume(tmp_path, place):
    hu = write_series(tmp_path / "ct", name="IM{:d}" if place.endswith("suffix") else "{:04d}.dcm")
    read = read_ct(tmp_path / "ct" if place == "folder" else min((tmp_path / "ct").iterdir()))
    np.testing.assert_array_equal(read.hu, hu)
    np.testing.assert_allclose(read.affine_mm, series_affine(), atol=1e-4)
