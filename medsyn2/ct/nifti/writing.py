"""Writing arrays as NIfTI files: the same array gives the same bytes (``files.py`` has the theory)."""

import struct
from pathlib import Path

import deflate
import numpy as np
from jaxtyping import Num, Shaped, UInt8
from nibabel.nifti1 import Nifti1Header

from medsyn2.ct.affines import RAS_TO_LPS, Affine, orthonormalize
from medsyn2.errors import InvalidVolumeError, MaskError
from medsyn2.vocabulary import SYNTHETIC

_COMMENT_CODE = 6

COMPRESSION = 1
"""Level of libdeflate, whose bytes depend on no processor; as small as zlib's level 2 in half the time."""


def write_hu(path: Path | str, hu: Num[np.ndarray, "d h w"], affine_mm: Affine, description: str = "") -> None:
    """Write HU, whole ones as int16, others as float32."""
    hu = compact(hu, Path(path).name)
    write_array(Path(path), hu if hu.dtype == np.int16 else hu.astype(np.float32), affine_mm, description)


def write_label_array(
    path: Path | str, labels: Shaped[np.ndarray, "d h w"], affine_mm: Affine, description: str = ""
) -> None:
    """Write labels as uint8."""
    write_array(Path(path), small_labels(labels, Path(path).name), affine_mm, description)


def small_labels(labels: Shaped[np.ndarray, "d h w"], name: str) -> UInt8[np.ndarray, "d h w"]:
    """Return labels as uint8, refusing those that do not fit."""
    if labels.dtype != bool and (labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 255):
        raise MaskError(
            f"{name}: expected whole labels from 0 to 255, got {labels.dtype.name} values from "
            f"{labels.min():g} to {labels.max():g}.",
            code="labels-not-labels",
            remedy="renumber the labels.",
        )
    return labels.astype(np.uint8)


def compact(values: Num[np.ndarray, "..."], name: str) -> Num[np.ndarray, "..."]:
    """Return whole values as int16 if they fit, else int32; others as float32; refuse NaN and infinity."""
    if values.dtype.kind == "b":
        return values.astype(np.int16)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
        broken = int(np.count_nonzero(~np.isfinite(values)))
        raise InvalidVolumeError(
            f"{name}: expected finite values, got {broken:,} voxels that are NaN or infinite.",
            code="volume-not-finite",
            remedy="the file was damaged or badly converted; get it again from its source.",
        )
    if max(abs(float(low)), abs(float(high))) >= 2**31:
        raise InvalidVolumeError(
            f"{name}: expected the values of a CT, got values from {low:g} to {high:g}.",
            code="volume-range",
            remedy="the file was damaged or its byte order is wrong; get it again from its source.",
        )
    if values.dtype.kind == "f" and not _all_whole(values):
        return values.astype(np.float32, copy=False)
    fits = low >= -32768 and high <= 32767
    return values.astype(np.int16 if fits else np.int32, copy=False)


def _all_whole(values: Num[np.ndarray, "..."]) -> bool:
    slabs = np.moveaxis(values, -1, 0) if values.flags.f_contiguous else values
    return all(bool((np.rint(slab) == slab).all()) for slab in slabs)


def write_array(path: Path, voxels: Shaped[np.ndarray, "d h w"], affine_mm: Affine, description: str) -> None:
    """Write voxels of the type that they have as NIfTI."""
    affine_mm, _ = orthonormalize(affine_mm, path.name)
    header = Nifti1Header(endianness="<")
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape[::-1])
    by_file_axis = (RAS_TO_LPS @ affine_mm)[:, [2, 1, 0, 3]]
    header.set_sform(by_file_axis, code=1)
    header.set_qform(by_file_axis, code=1)
    header.set_xyzt_units("mm")
    header.set_slope_inter(1.0, 0.0)
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    extension = _comment(description) if description.startswith(SYNTHETIC) else b""
    header["vox_offset"] = 352 + len(extension)
    header["magic"] = b"n+1"
    header["descrip"] = description.encode("ascii", "replace")[:79]
    stored = np.ascontiguousarray(voxels.astype(voxels.dtype.newbyteorder("<"), copy=False))
    flag = b"\1\0\0\0" if extension else b"\0\0\0\0"
    content = b"".join((header.binaryblock, flag, extension, stored.data.cast("B")))
    path.write_bytes(deflate.gzip_compress(content, COMPRESSION) if path.suffix.lower() == ".gz" else content)


def _comment(text: str) -> bytes:
    """Return a header extension of plain text, which programs that copy a header's extensions keep."""
    content = text.encode("ascii", "replace")
    size = 8 + len(content) + 1
    size += -size % 16
    return struct.pack("<ii", size, _COMMENT_CODE) + content.ljust(size - 8, b"\0")
