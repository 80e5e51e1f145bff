"""NIfTI files: the one place where voxels and their geometry come from and go to disk.

Reading is strict (`nifti_stream` for the bytes, `nifti_header` for the claims): a volume is whole, finite
and in a known place, or it is refused with a code. World coordinates are turned from NIfTI's RAS into LPS and
the axes become canonical, whatever the 48 ways a file may store them and however oblique the scan was.

Writing gives the same bytes for the same volume: no time, no name and no level of the moment goes into the
gzip stream. The file's axes are (width, height, depth), so that the array goes to disk as it lies in memory;
sform and qform say the same, in scanner coordinates and mm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Num

from medsyn2.ct.nifti.header import NiftiHeader, header_affine
from medsyn2.ct.nifti.stream import MAX_CT_RATIO, MAX_MASK_RATIO, read_nifti_bytes
from medsyn2.ct.nifti.writing import compact, write_hu, write_label_array
from medsyn2.ct.volume import Affine, CTVolume, LabelMap
from medsyn2.ct.voxel_file import VoxelFile


@dataclass(frozen=True)
class NiftiFile(VoxelFile):
    """A NIfTI file."""

    header: NiftiHeader  # The checked header

    def affine(self) -> tuple[Affine, tuple[str, ...]]:
        return header_affine(self.header, self.name)


def open_nifti(path: Path | str, *, max_ratio: float = MAX_CT_RATIO) -> NiftiFile:
    """Read the voxels of a file strictly.

    Raises:
        InvalidVolumeError: If the file is damaged, is no NIfTI or has values that are not finite.
    """
    path = Path(path)
    header, voxels, notes = read_nifti_bytes(path, max_ratio=max_ratio)
    stored = voxels.view(header.dtype).reshape(header.shape, order="F")
    return NiftiFile(path.name, _scale(stored, header, path.name), tuple(notes), header.description, header)


def read_ct(path: Path | str, *, affine_mm: Affine | None = None) -> CTVolume:
    """Read a CT.

    The values are the file's own, scaled as its header says; `ct.intensity` tells whether they are HU.

    Args:
        path: A .nii or .nii.gz file.
        affine_mm: Index of the file's axes to LPS mm, in place of a header that is known to be wrong.

    Returns:
        The canonical volume; int16 where the values are whole and fit, else int32 or float32.

    Raises:
        InvalidVolumeError: If the file is damaged, is no volume or has values that are not finite.
        GeometryError: If the header's position in space is missing, impossible or ambiguous.
    """
    return open_nifti(path).read_ct(affine_mm)


def read_labels(path: Path | str, names: Mapping[int, str] | None = None) -> LabelMap:
    """Read a label map.

    Args:
        path: A .nii or .nii.gz file of whole numbers from 0.
        names: Meaning of each label. None: ``mask`` for a map of 0 and 1, else each label's number.

    Raises:
        InvalidVolumeError: If the file is damaged or is no volume.
        GeometryError: If the header's position in space is missing, impossible or ambiguous.
        MaskError: If a value is negative, fractional, above 65535 or has no name in `names`.
    """
    return open_nifti(path, max_ratio=MAX_MASK_RATIO).read_labels(names)


def write_ct(path: Path | str, volume: CTVolume, *, description: str = "") -> None:
    """Write a CT; equal volumes give equal bytes.

    Args:
        path: Ends in .nii or .nii.gz.
        volume: Whole HU are written as int16, others as float32.
        description: At most 79 ASCII characters for the header; SYNTHETIC stands before it if a model made the volume.

    Raises:
        InvalidVolumeError: If a value is not finite.
        GeometryError: If the axes are not perpendicular.
    """
    write_hu(path, volume.hu, volume.affine_mm, volume.mark(description))


def write_labels(path: Path | str, label_map: LabelMap, *, description: str = "") -> None:
    """Write a label map as uint8; equal maps give equal bytes.

    Raises:
        MaskError: If a label does not fit.
        GeometryError: If the axes are not perpendicular.
    """
    write_label_array(path, label_map.labels, label_map.affine_mm, description)


def _scale(stored: Num[np.ndarray, "i j k"], header: NiftiHeader, name: str) -> Num[np.ndarray, "i j k"]:
    """Apply the header's scaling slab by slab and return the smallest type that holds the values."""
    slope, intercept = header.slope, header.intercept
    if slope == 1 and intercept == 0:
        return compact(stored, name)
    whole = stored.dtype.kind in "iu" and slope == int(slope) and intercept == int(intercept)
    ends = [float(end) * slope + intercept for end in (stored.min(), stored.max())]
    small = whole and min(ends) >= -32768 and max(ends) <= 32767
    scaled = np.empty(stored.shape, np.int16 if small else np.float32, order="F")
    for k in range(stored.shape[2]):
        scaled[:, :, k] = stored[:, :, k].astype(np.float64) * slope + intercept
    return scaled if small else compact(scaled, name)
