"""The voxels after a text header, as MetaImage and NRRD have them, whole or refused.

ITK's readers report success on cut files, most of all on compressed ones, and leave the rest of the image as the memory
was. So the bytes are counted here: there must be exactly as many as the header's shape and type need, and a compressed
stream must end where its checksum says.
"""

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import Num

from medsyn2.ct.affines import Affine, accept_affine
from medsyn2.ct.nifti.header import MAX_AXIS, MAX_VOXELS, invalid_volume
from medsyn2.ct.nifti.writing import compact
from medsyn2.ct.voxel_file import VoxelFile
from medsyn2.errors import GeometryError, InvalidVolumeError, reason

MAX_HEADER_BYTES = 1 << 20
_ANY_WRAPPER = 47
"""zlib's window bits for a stream of zlib or of gzip."""


@dataclass(frozen=True)
class ImageFile(VoxelFile):
    """A MetaImage or NRRD file."""

    affine_mm: Affine | None  # Index (i, j, k) to LPS mm; None if the header has none

    def affine(self) -> tuple[Affine, tuple[str, ...]]:
        if self.affine_mm is None:
            raise GeometryError(
                f"{self.name}: expected a position in space, got a header without axes, spacing or origin.",
                code="affine-missing",
                remedy="write the spacing, the directions and the origin into the header, or give NIfTI.",
            )
        return accept_affine(self.affine_mm, self.name)


@dataclass(frozen=True)
class Payload:
    """Where the voxels are and how they are stored."""

    path: Path  # The file that holds them
    offset: int  # Bytes before them; -1 if they are the file's last
    shape: tuple[int, ...]  # Voxels along the file's axes, the fastest first
    dtype: np.dtype  # Type with its byte order
    is_compressed: bool  # Whether they are a stream of zlib or gzip

    def read(self, name: str) -> Num[np.ndarray, "i j k"]:
        """Read the voxels, in the smallest type that holds them.

        Raises:
            InvalidVolumeError: If bytes are missing or left over, or the shape is none of a volume.
        """
        shape = _check_shape(self.shape, name)
        needed = prod(shape) * self.dtype.itemsize
        content = self._content(needed, name)
        if len(content) != needed:
            kind, code = ("more", "volume-trailing-bytes") if len(content) > needed else ("fewer", "volume-truncated")
            raise invalid_volume(
                name,
                code,
                f"{needed:,} bytes of voxels after the header's shape and type, got {kind} ({len(content):,})",
                "the header or the file is damaged; get it again.",
            )
        voxels = np.frombuffer(content, self.dtype).reshape(shape, order="F")
        return compact(voxels.astype(self.dtype.newbyteorder("="), copy=False), name)

    def _content(self, needed: int, name: str) -> bytes:
        try:
            size = self.path.stat().st_size
            with self.path.open("rb") as file:
                file.seek(size - needed if self.offset < 0 else self.offset)
                if not self.is_compressed:
                    return file.read(needed + 1)
                stream = file.read()
        except (OSError, ValueError) as error:
            raise invalid_volume(
                name,
                "volume-data-missing",
                f"voxels in {self.path.name}, got: {reason(error)}",
                "keep the header and its data file together.",
            ) from error
        return _inflate(stream, needed, name)


def read_header(path: Path) -> tuple[bytes, int]:
    """Return the first bytes of a file, at most `MAX_HEADER_BYTES`, and the file's size.

    Raises:
        InvalidVolumeError: If it cannot be read or is empty.
    """
    try:
        with path.open("rb") as file:
            start = file.read(MAX_HEADER_BYTES)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise invalid_volume(
            path.name, "file-missing", f"a file, got: {error.strerror}", "check the path and the permissions."
        ) from error
    if not start:
        raise invalid_volume(path.name, "file-empty", "a volume, got 0 bytes", "get the file again.")
    return start, size


def data_file(path: Path, given: str) -> Path:
    """Return the file that a header names for its voxels.

    Raises:
        InvalidVolumeError: If it is a list, a pattern or a file of another folder.
    """
    if given.split()[:1] == ["LIST"] or "%" in given or Path(given).name != given:
        raise invalid_volume(
            path.name,
            "volume-data-elsewhere",
            f"voxels in one file beside the header, got {given!r}",
            "write the volume as one file, for example with SimpleITK.",
        )
    return path.with_name(given)


def numbers(fields: Mapping[str, str], *names: str) -> list[float] | None:
    """Return the numbers of the first of these fields that there is; None if there is none or it holds others."""
    text = next((fields[name] for name in names if name in fields), None)
    try:
        return None if text is None else [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        return None


def unsupported(name: str, code: str, found: str) -> InvalidVolumeError:
    """Return the error of a header that asks for something that is not read here."""
    return invalid_volume(
        name, code, f"plain or gzip-compressed voxels of one number each, got {found}", "convert the file to NIfTI."
    )


def _check_shape(shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    if len(shape) > 3 and prod(shape[3:]) == 1:
        shape = shape[:3]
    if len(shape) > 3:
        raise invalid_volume(
            name,
            "volume-rank",
            f"one three-dimensional volume, got the shape {shape}",
            "split the series into its volumes and give one of them.",
        )
    if len(shape) < 3 or min(shape) < 2:
        raise invalid_volume(
            name,
            "volume-flat",
            f"a volume with several slices on every axis, got the shape {shape}",
            "a single slice or a localiser is no CT volume; give the whole series.",
        )
    if max(shape) > MAX_AXIS or prod(shape) > MAX_VOXELS:
        raise invalid_volume(
            name,
            "volume-too-large",
            f"at most {MAX_AXIS} voxels an axis and {MAX_VOXELS:,} in all, got the shape {shape}",
            "the header is damaged, or the volume must be cropped first.",
        )
    return shape[0], shape[1], shape[2]


def _inflate(stream: bytes, needed: int, name: str) -> bytes:
    inflater = zlib.decompressobj(_ANY_WRAPPER)
    try:
        content = inflater.decompress(stream, needed + 1)
        if len(content) == needed and not inflater.eof:  # the checksum is read with the end of the stream
            content += inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise invalid_volume(
            name, "gzip-corrupt", f"a sound stream of voxels, got {error}", "the file was damaged; get it again."
        ) from error
    if len(content) == needed and not inflater.eof:
        raise invalid_volume(
            name,
            "gzip-truncated",
            "a whole stream of voxels, got a file that ends in the middle of it",
            "the copy or download broke off; get the file again.",
        )
    return content
