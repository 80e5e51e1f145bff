"""The claims of a NIfTI header, checked before a byte of image is read.

A header is 348 bytes (NIfTI-1) or 540 (NIfTI-2) in either byte order. This module answers three questions from it: how
many voxels of what type follow and where, how stored numbers become values (scl_slope, scl_inter), and where the voxels
lie. The last has up to three answers in one file, the sform, the qform and the spacing in pixdim. They are used only if
they agree: two programs that believe different ones would disagree in silence.

Slope: 0 and NaN mean that no scaling was set (the standard and nibabel); infinity is damage.

Source: nifti1.h of the NIfTI-1 Data Format Working Group, methods 2 and 3.
"""

import struct
from dataclasses import dataclass
from math import prod

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError

from medsyn2.ct.affines import RAS_TO_LPS, Affine, accept_affine, format_mm
from medsyn2.errors import GeometryError, InvalidVolumeError

HEADER_BYTES = 540
MAX_AXIS = 2048
MAX_VOXELS = 4_000_000_000
_MAX_OFFSET = 1 << 24
_RGB_CODES = (128, 2304)
_DTYPES = {
    2: np.uint8,
    4: np.int16,
    8: np.int32,
    16: np.float32,
    64: np.float64,
    256: np.int8,
    512: np.uint16,
    768: np.uint32,
    1024: np.int64,
    1280: np.uint64,
}


@dataclass(frozen=True)
class NiftiHeader:
    """The part of a header that is used, checked."""

    shape: tuple[int, int, int]  # Voxels along the file's axes (i, j, k)
    dtype: np.dtype  # Type of the stored numbers, with its byte order
    offset: int  # Bytes before the first voxel
    slope: float  # What stored numbers are multiplied with
    intercept: float  # What is added then
    raw: Nifti1Header  # nibabel's view of the header, for the affine
    notes: tuple[str, ...]  # What is unusual and was accepted

    @property
    def voxel_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @property
    def description(self) -> str:
        """The text that the writing program left."""
        return bytes(self.raw["descrip"]).rstrip(b"\0").decode("ascii", "replace")


def looks_like_nifti(start: bytes) -> bool:
    """Tell whether `start` opens with the size field of a NIfTI or Analyze header."""
    return len(start) >= 4 and _header_class(start) is not None


def _header_class(start: bytes) -> tuple[type[Nifti1Header], str] | None:
    for endianness in "<>":
        (size,) = struct.unpack(f"{endianness}i", start[:4])
        if size in (348, 540):
            return (Nifti1Header if size == 348 else Nifti2Header), endianness
    return None


def parse_header(start: bytes, name: str) -> NiftiHeader:
    """Check the header at the start of a file.

    Args:
        start: At least the first 540 bytes, or all of a shorter file.

    Raises:
        InvalidVolumeError: If it is truncated, of another format, or makes a claim that no CT or mask can meet.
    """
    found = _header_class(start)
    if found is None or len(start) < found[0].template_dtype.itemsize:
        raise invalid_volume(name, "header-truncated", f"a whole header, got {len(start)} bytes", "get the file again.")
    header_class, endianness = found
    raw = header_class(start[: header_class.template_dtype.itemsize], endianness, check=False)
    magic = bytes(raw["magic"])[:3]
    if magic in (b"ni1", b"ni2"):
        raise invalid_volume(
            name,
            "file-is-nifti-pair",
            "one file with header and voxels, got the header of a .hdr/.img pair",
            "convert the pair to a single .nii.gz.",
        )
    if magic not in (b"n+1", b"n+2"):
        raise invalid_volume(
            name, "file-is-analyze", f"the mark n+1 or n+2, got {magic!r}", "convert the Analyze file to NIfTI."
        )
    notes: list[str] = []
    shape = _check_shape(raw, name, notes)
    dtype = _check_dtype(raw, name)
    offset = float(raw["vox_offset"])
    if not (np.isfinite(offset) and start_of_voxels(raw) <= offset <= _MAX_OFFSET and offset == int(offset)):
        raise invalid_volume(
            name,
            "header-offset",
            f"voxels to start between byte {start_of_voxels(raw)} and {_MAX_OFFSET}, got {offset}",
            "the header is damaged; get the file again.",
        )
    slope, intercept = _check_scaling(raw, name, notes)
    return NiftiHeader(shape, dtype, int(offset), slope, intercept, raw, tuple(notes))


def start_of_voxels(raw: Nifti1Header) -> int:
    """Return the first byte that voxels may start at: after the header and the four extension bytes."""
    return raw.template_dtype.itemsize + 4


def invalid_volume(name: str, code: str, expected: str, remedy: str) -> InvalidVolumeError:
    """Return the error of a file that is not as expected."""
    return InvalidVolumeError(f"{name}: expected {expected}.", code=code, remedy=remedy)


def _check_shape(raw: Nifti1Header, name: str, notes: list[str]) -> tuple[int, int, int]:
    dims = [int(n) for n in raw["dim"]]
    rank, sizes = dims[0], dims[1 : dims[0] + 1]
    if not 1 <= rank <= 7 or min(sizes) < 1:
        raise invalid_volume(
            name, "volume-dims", f"1 to 7 positive dimensions, got {dims}", "the header is damaged; get the file again."
        )
    if rank > 3 and prod(sizes[3:]) > 1:
        raise invalid_volume(
            name,
            "volume-rank",
            f"one three-dimensional volume, got the shape {tuple(sizes)}",
            "split the series into its volumes and give one of them.",
        )
    if rank < 3 or min(sizes[:3]) < 2:
        raise invalid_volume(
            name,
            "volume-flat",
            f"a volume with several slices on every axis, got the shape {tuple(sizes)}",
            "a single slice or a localiser is no CT volume; give the whole series.",
        )
    if max(sizes[:3]) > MAX_AXIS or prod(sizes[:3]) > MAX_VOXELS:
        raise invalid_volume(
            name,
            "volume-too-large",
            f"at most {MAX_AXIS} voxels an axis and {MAX_VOXELS:,} in all, got the shape {tuple(sizes)}",
            "the header is damaged, or the volume must be cropped first.",
        )
    if rank > 3:
        notes.append(f"the shape {tuple(sizes)} has {rank} axes but one frame; read as a volume")
    return sizes[0], sizes[1], sizes[2]


def _check_dtype(raw: Nifti1Header, name: str) -> np.dtype:
    code = int(raw["datatype"])
    if code in _RGB_CODES:
        raise invalid_volume(
            name, "volume-rgb", "one number a voxel, got colours", "take the CT, not a rendering of it."
        )
    if code not in _DTYPES:
        raise invalid_volume(
            name,
            "volume-dtype",
            f"integers or floats of at most 64 bits, got the NIfTI type {code}",
            "convert the file to int16.",
        )
    dtype = np.dtype(_DTYPES[code]).newbyteorder(raw.endianness)
    if int(raw["bitpix"]) not in (0, dtype.itemsize * 8):
        raise invalid_volume(
            name,
            "header-inconsistent",
            f"{dtype.itemsize * 8} bits a voxel for {dtype.name}, got {int(raw['bitpix'])}",
            "the header is damaged; get the file again.",
        )
    return dtype


def _check_scaling(raw: Nifti1Header, name: str, notes: list[str]) -> tuple[float, float]:
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or np.isnan(slope):
        if np.isfinite(intercept) and intercept != 0:
            notes.append(f"scl_inter is {intercept:g} but scl_slope is not set, so that neither was applied")
        return 1.0, 0.0
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise invalid_volume(
            name,
            "header-scaling",
            f"finite scl_slope and scl_inter, got {slope:g} and {intercept:g}",
            "the header is damaged; get the file again.",
        )
    return slope, intercept


def header_affine(header: NiftiHeader, name: str) -> tuple[Affine, tuple[str, ...]]:
    """Return the affine from the file's index (i, j, k) to LPS mm, and the repairs.

    Raises:
        GeometryError: If there is none, if it cannot be true, or if sform, qform and pixdim disagree.
    """
    raw = header.raw
    affines = {}
    if int(raw["sform_code"]) > 0:
        affines["sform"] = raw.get_sform()
    if int(raw["qform_code"]) > 0:
        affines["qform"] = _qform(raw, name)
    if not affines:
        raise GeometryError(
            f"{name}: expected a position in space, got a header without sform and qform.",
            code="affine-missing",
            remedy="write the affine into the file, or give cohort.metadata_csv for this file.",
        )
    accepted = {kind: accept_affine(affine, f"{name} ({kind})") for kind, affine in affines.items()}
    checked = {kind: affine for kind, (affine, _) in accepted.items()}
    notes = tuple(note for _, repairs in accepted.values() for note in repairs)
    if len(checked) == 2:
        _refuse_disagreement(checked["sform"], checked["qform"], header.shape, name)
    affine = next(iter(checked.values()))
    zooms = np.abs(np.array(raw["pixdim"][1:4], dtype=np.float64))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.allclose(zooms, spacing, rtol=0.01, atol=0):
        raise GeometryError(
            f"{name}: expected one voxel spacing, got {format_mm(spacing)} (affine) and {format_mm(zooms)} (pixdim).",
            code="affine-pixdim-differ",
            remedy="programs will disagree about this file; write the header anew from the series.",
        )
    return RAS_TO_LPS @ affine, notes


def _qform(raw: Nifti1Header, name: str) -> Affine:
    plain = raw.copy()
    if float(plain["pixdim"][0]) not in (-1.0, 1.0):
        plain["pixdim"][0] = 1.0  # the standard: anything but -1 counts as 1
    try:
        return plain.get_qform()
    except (ValueError, HeaderDataError) as error:
        raise GeometryError(
            f"{name}: expected a unit quaternion in the qform, got {error}.",
            code="affine-degenerate",
            remedy="the header is damaged; write the affine anew from the original series.",
        ) from error


def _refuse_disagreement(sform: Affine, qform: Affine, shape: tuple[int, int, int], name: str) -> None:
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape], (1,), indexing="ij"), axis=-1).reshape(-1, 4)
    apart_mm = float(np.linalg.norm(corners @ (sform - qform).T, axis=1).max())
    if apart_mm > 0.5 * np.linalg.norm(sform[:3, :3], axis=0).min():
        raise GeometryError(
            f"{name}: expected one position, got a sform and a qform that are {apart_mm:.2f} mm apart.",
            code="affine-sform-qform-differ",
            remedy="programs will disagree about this file; write the right one into both.",
        )
