"""Copies of files of other formats, and the hash that names a CT."""

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.facts import HuScale
from medsyn2.formats import read_ct
from medsyn2.pipeline.edited import Source, hash_ct

AFFINE = axis_aligned_affine((2.0, 1.0, 1.0), (0.0, 3.0, -8.0))


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_file_that_is_not_stored_as_nifti_keeps_its_values(tmp_path, dtype):
    values = CTVolume(np.random.default_rng(0).integers(0, 2000, (4, 5, 6)).astype(dtype), AFFINE)
    changed = np.zeros(values.shape, bool)
    changed[1, 2, 3] = True
    hu = np.full(values.shape, -500, np.int16)
    Source(values, HuScale("stored", 2.0, -1024.0, None)).write(tmp_path / "a.nii.gz", hu, changed, "changed")
    written = read_ct(tmp_path / "a.nii.gz")
    assert written.hu[1, 2, 3] == 262
    np.testing.assert_array_equal(written.hu[~changed], values.hu[~changed])


def test_the_hash_covers_voxels_and_place_and_no_rounding_of_a_header():
    ct = CTVolume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
    shifted = AFFINE.copy()
    shifted[0, 3] += 0.01
    others = [CTVolume(ct.hu + np.int16(1), AFFINE), CTVolume(ct.hu, shifted), CTVolume(ct.hu[:, ::-1], AFFINE)]
    assert len({hash_ct(one) for one in (ct, *others)}) == 4
    assert hash_ct(CTVolume(ct.hu, AFFINE + 1e-7)) == hash_ct(ct)
