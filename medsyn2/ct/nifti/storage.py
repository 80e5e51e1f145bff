"""The way in which a NIfTI file stores a volume, to write another one that differs in some voxels alone.

The copy has the axes, the type, the scaling and the place of its model, so that arrays read from both can be laid over
each other; a voxel that did not change has the very same stored number. Nothing else of the header is taken over: free
texts, names of auxiliary files and extensions may hold the name of a patient.
"""

from dataclasses import dataclass
from pathlib import Path

import deflate
import numpy as np
from jaxtyping import Bool, Num, Shaped
from nibabel.nifti1 import Nifti1Header

from medsyn2.ct.geometry import canonical_axes
from medsyn2.ct.nifti.header import NiftiHeader, header_affine
from medsyn2.ct.nifti.stream import MAX_CT_RATIO, read_nifti_bytes
from medsyn2.ct.nifti.writing import COMPRESSION
from medsyn2.ct.volume import Affine
from medsyn2.facts import HuScale

_PLACE = (
    "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip
_VOXEL_OFFSET = 352


@dataclass(frozen=True)
class Storage:
    """A file's stored numbers and its header."""

    header: NiftiHeader
    stored: Num[np.ndarray, "i j k"]  # As they are in the file, unscaled, along the file's axes
    affine_mm: Affine  # Index of the file's axes to LPS mm

    def write_changed(
        self,
        path: Path,
        hu: Num[np.ndarray, "d h w"],
        changed: Bool[np.ndarray, "d h w"],
        scale: HuScale,
        *,
        first_slice: int = 0,
        description: str = "",
    ) -> None:
        """Write the file with the HU of some voxels replaced.

        Args:
            hu: The new values, canonical, of all slices of the file or some.
            changed: Which of them are taken.
            scale: Conversion of the file's values, scaled as its header says, to HU.
            first_slice: Canonical slice of the file that is the first of `hu`.
        """
        result = self.stored.copy(order="F")
        part = self._canonical(result)[first_slice : first_slice + len(hu)]
        values = (hu[changed].astype(np.float64) - scale.intercept) / scale.slope
        values = (values - self.header.intercept) / self.header.slope
        if result.dtype.kind in "iu":
            ends = np.iinfo(result.dtype)
            values = np.clip(np.rint(values), ends.min, ends.max)
        part[changed] = values
        self._write(
            path, result, (float(self.header.raw["scl_slope"]), float(self.header.raw["scl_inter"])), description
        )

    def write_mask(
        self, path: Path, mask: Bool[np.ndarray, "d h w"], *, first_slice: int = 0, description: str = ""
    ) -> None:
        """Write a canonical mask as uint8 on the file's axes."""
        result = np.zeros(self.stored.shape, np.uint8, order="F")
        self._canonical(result)[first_slice : first_slice + len(mask)] = mask
        self._write(path, result, (1.0, 0.0), description)

    def _canonical(self, array: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, "d h w"]:
        """Return a view of an array of the file's axes along the canonical ones."""
        order, flips = canonical_axes(self.affine_mm)
        return array.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]

    def _write(
        self, path: Path, array: Shaped[np.ndarray, "i j k"], scaling: tuple[float, float], description: str
    ) -> None:
        header = Nifti1Header(endianness="<")
        header.set_data_dtype(array.dtype.newbyteorder("<"))
        header.set_data_shape(array.shape)
        for name in _PLACE:
            header[name] = self.header.raw[name]
        header["pixdim"][:4] = self.header.raw["pixdim"][:4]
        header["scl_slope"], header["scl_inter"] = scaling
        header["vox_offset"], header["magic"] = _VOXEL_OFFSET, b"n+1"
        header["descrip"] = description.encode("ascii", "replace")[:79]
        stored = array.astype(array.dtype.newbyteorder("<"), copy=False)
        content = b"".join((header.binaryblock, b"\0\0\0\0", stored.tobytes(order="F")))
        path.write_bytes(deflate.gzip_compress(content, COMPRESSION) if path.suffix.lower() == ".gz" else content)


def open_storage(path: Path) -> Storage:
    """Read a file as it is stored.

    Raises:
        InvalidVolumeError: If the file is damaged or is no volume.
        GeometryError: If its position in space is missing, impossible or ambiguous.
    """
    header, voxels, _ = read_nifti_bytes(path, max_ratio=MAX_CT_RATIO)
    affine, _ = header_affine(header, path.name)
    return Storage(header, voxels.view(header.dtype).reshape(header.shape, order="F"), affine)
