"""CTs to edit, from files of several formats."""

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import IntensityError, InvalidVolumeError
from medsyn2.formats import write_ct
from medsyn2.pipeline.edited import hash_ct
from medsyn2.pipeline.source_file import read_source

AFFINE = axis_aligned_affine((3.0, 3.0, 3.0), (-60.0, -60.0, 0.0))


@pytest.fixture
def chest():
    """Air, a body and a lung, with noise of its own in every slice."""
    hu = np.full((40, 40, 44), -1000.0)
    hu[:, 8:34, 5:40] = 40
    hu[2:-2, 12:28, 8:18] = -850
    noisy = hu + np.random.default_rng(0).normal(0, 15, hu.shape)
    return CTVolume(np.rint(noisy).clip(-1024).astype(np.int16), AFFINE)


def test_one_ct_is_the_same_in_every_format_and_an_edited_one_is_taken(chest, tmp_path):
    found = []
    for name in ("a.nii.gz", "a.mha", "a.nrrd"):
        write_ct(tmp_path / name, chest, description="SYNTHETIC medsyn2 edited")
        ct, source, _ = read_source(tmp_path / name)
        assert (source.storage is None) == (name != "a.nii.gz")
        np.testing.assert_array_equal(source.values.hu, chest.hu)
        found.append(hash_ct(ct))
    assert len(set(found)) == 1


def test_values_that_are_no_hu_are_refused(chest, tmp_path):
    write_ct(tmp_path / "a.nii.gz", CTVolume((chest.hu.astype(np.int32) + 1024).astype(np.int16), AFFINE))
    with pytest.raises(IntensityError, match="hu-stored"):
        read_source(tmp_path / "a.nii.gz")


def test_a_label_map_is_no_ct_to_edit(tmp_path):
    labels = np.zeros((40, 40, 40), np.int16)
    labels[10:30, 10:30, 10:30] = 1
    write_ct(tmp_path / "a.nii.gz", CTVolume(labels, AFFINE))
    with pytest.raises(InvalidVolumeError, match="label-map"):
        read_source(tmp_path / "a.nii.gz")
