from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def header_of() -> Callable[..., nib.Nifti1Header]:
    """Make a sound header of 2 x 2 x 3 mm voxels, to be damaged by the test."""

    def header_of(shape=(8, 7, 6), dtype=np.int16):
        header = nib.Nifti1Header()
        header.set_data_shape(shape)
        header.set_data_dtype(dtype)
        affine = np.diag([-2.0, -2.0, 3.0, 1.0])
        header.set_sform(affine, 1)
        header.set_qform(affine, 1)
        header["magic"], header["vox_offset"] = b"n+1", 352
        return header

    return header_of


@pytest.fixture
def content_of() -> Callable[..., bytes]:
    """Make the bytes of an uncompressed file from a header, with counting voxels if none are given."""

    def content_of(header, voxels=None):
        if voxels is None:
            size = int(np.prod(header["dim"][1:4].astype(int)))
            voxels = np.arange(size).astype(header.get_data_dtype()).tobytes()
        return header.binaryblock + b"\0\0\0\0" + voxels

    return content_of
