"""A series of DICOM slices read as a volume.

GDCM, in SimpleITK, decodes the pixels of every transfer syntax and applies each slice's own rescaling. Each slice is
read by itself: ITK's reader of series takes the type of numbers from the first slice and cuts the fractions of the
others. The place of the voxels follows from the headers (`stack`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from jaxtyping import Num
from scipy import ndimage

from medsyn2.ct.affines import Affine, accept_affine
from medsyn2.ct.nifti.header import MAX_VOXELS
from medsyn2.ct.nifti.writing import compact
from medsyn2.ct.voxel_file import VoxelFile
from medsyn2.dicom.series import Found, find_stacks
from medsyn2.dicom.slices import POINTER, Slice, read_slices
from medsyn2.dicom.stack import Stack
from medsyn2.errors import InvalidVolumeError, UnreachableVolumeError
from medsyn2.vocabulary import SYNTHETIC, SeriesRule

DIRECTORY_FILE = "DICOMDIR"
_AIR_HU = -1024


@dataclass(frozen=True)
class DicomSeries(VoxelFile):
    """A volume of DICOM slices."""

    stack: Stack

    def affine(self) -> tuple[Affine, tuple[str, ...]]:
        return accept_affine(self.stack.affine_mm, self.name)


def open_series(path: Path, *, series: str | None = None, rule: SeriesRule = "largest") -> DicomSeries:
    """Read the volume of a folder of DICOM files, its subfolders included, or of the series of one file.

    Args:
        series: The `Stack.id` of a volume that was chosen before.
        rule: The choice among several volumes.

    Raises:
        InvalidVolumeError: If there is no CT, slices are damaged, or patients or studies are mixed.
        GeometryError: If no series makes a volume; the error is that of the largest.
    """
    found = find_series(path, rule)
    if series is not None:
        chosen = [stack for stack in found.stacks if stack.id == series]
        if not chosen:
            raise UnreachableVolumeError(
                f"{path.name}: expected the series {series} of the inventory, got {len(found.stacks)} others.",
                code="file-changed",
                remedy="files were removed or replaced since the inventory; put them back, or run the workflow again.",
            )
    else:
        chosen = list(found.stacks)
    stack = chosen[0]
    notes: tuple[str, ...] = ()
    if series is None and len(chosen) > 1:
        others = ", ".join(f"{one.name} ({one.step_mm:.3g} mm)" for one in chosen[1:4])
        notes = (f"of {len(chosen)} volumes the {rule} was taken, {stack.name}; the others: {others}",)
    file = read_stack(stack)
    return replace(file, name=path.name, notes=(*notes, *file.notes))


def read_stack(stack: Stack) -> DicomSeries:
    """Read the pixels of a volume.

    Raises:
        InvalidVolumeError: If slices are damaged.
    """
    notes = [*stack.notes]
    if not stack.is_original:
        notes.append(f"{stack.name} is derived from other slices")
    mark = f"{SYNTHETIC} says the attribute SyntheticData" if any(one.is_synthetic for one in stack.slices) else ""
    return DicomSeries(stack.name, _decode(stack), tuple(notes), mark, stack)


def find_series(path: Path, rule: SeriesRule = "largest") -> Found:
    """Return the volumes of a folder, or of the series of one file, the best first; at least one.

    Raises:
        InvalidVolumeError: If there is no CT, or patients or studies are mixed.
        GeometryError: If no series makes a volume; the error is that of the largest.
    """
    own: Sequence[Slice] = ()
    if path.is_file():
        own, others = read_slices([path])
        if not own:
            raise _nothing(path.name, others)
    slices, others = read_slices(sorted(find_files(path)))
    if own:
        slices = [one for one in slices if one.series == own[0].series]
    _refuse_mixture(slices, path.name)
    found = find_stacks(slices, rule)
    if not found.stacks:
        raise found.refused[0] if found.refused else _nothing(path.name, others)
    if rule == "only" and len(found.stacks) > 1:
        names = "; ".join(f"{one.name} ({one.step_mm:.3g} mm)" for one in found.stacks[:5])
        raise InvalidVolumeError(
            f"{path.name}: expected one volume, got {len(found.stacks)}: {names}.",
            code="dicom-several-series",
            remedy="give one file of the series that is meant, or choose by inventory.series.",
        )
    return found


def find_files(path: Path) -> Iterator[Path]:
    """Yield the visible files of a folder and its subfolders, or those beside a file."""
    folder = path.parent if path.is_file() else path
    pending = [folder]
    while pending:
        for entry in pending.pop().iterdir():
            if entry.name.startswith(".") or entry.name == DIRECTORY_FILE:
                continue
            if entry.is_dir() and path.is_dir() and not entry.is_symlink():
                pending.append(entry)
            elif entry.is_file():
                yield entry


def _refuse_mixture(slices: Sequence[Slice], name: str) -> None:
    for kind, remedy in (
        ("patient", "give each patient a folder; `medsyn2 convert dicom` sorts such a folder into volumes."),
        ("study", "give one file of the series that is meant, or sort the folder by `medsyn2 convert dicom`."),
    ):
        found = Counter(value for one in slices if (value := getattr(one.identity, kind)))
        if len(found) > 1:
            counts = " and ".join(f"{count}" for _, count in found.most_common(5))
            plural = "patients" if kind == "patient" else "studies"
            raise InvalidVolumeError(
                f"{name}: expected the slices of one {kind}, got {len(found)} {plural} with {counts} slices.",
                code=f"dicom-several-{plural}",
                remedy=remedy,
            )


def _nothing(name: str, others: Counter[str]) -> InvalidVolumeError:
    if POINTER in others:
        return InvalidVolumeError(
            f"{name}: expected the slices of a CT, got {others[POINTER]} Git-LFS pointers: the slices were never "
            "downloaded.",
            code="file-is-lfs-pointer",
            remedy="fetch the data with `git lfs pull`, or download the files again.",
        )
    told = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5)) or "no file"
    return InvalidVolumeError(
        f"{name}: expected the slices of a CT, got {told}.",
        code="dicom-no-ct",
        remedy="give the folder that holds the slices; other kinds of DICOM, pictures and reports are not read.",
    )


def _decode(stack: Stack) -> Num[np.ndarray, "i j k"]:
    """Return the rescaled values, along (column, row, slice)."""
    columns, rows, count = stack.shape
    (left, right), (above, below) = stack.room
    if stack.voxels > MAX_VOXELS:
        raise InvalidVolumeError(
            f"{stack.name}: expected at most {MAX_VOXELS:,} voxels, got {stack.shape}.",
            code="volume-too-large",
            remedy="the series must be cropped first.",
        )
    values: Num[np.ndarray, "k r c"] = np.empty((count, above + rows + below, left + columns + right), np.int16)
    for index, plane in enumerate(_planes(stack)):
        if any(stack.lean):
            plane = _move_upright(plane, index, stack)
        small = compact(plane, stack.slices[index].path.name)
        if small.dtype != np.int16 and values.dtype == np.int16:
            values = values.astype(np.float32)
        values[index] = small
    return compact(values, stack.name).transpose(2, 1, 0)


def _move_upright(plane: Num[np.ndarray, "r c"], index: int, stack: Stack) -> Num[np.ndarray, "r2 c2"]:
    """Return a leaning slice at its place above the first, in whole HU; around it there is air."""
    columns, rows = stack.room
    framed = np.pad(plane.astype(np.float64), (rows, columns), constant_values=_AIR_HU)
    moved = ndimage.shift(framed, (index * stack.lean[1], index * stack.lean[0]), order=1, cval=_AIR_HU)
    return np.rint(moved)


def _planes(stack: Stack) -> Iterator[Num[np.ndarray, "r c"]]:
    """Yield the slices; a file of many frames is read once."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    frames: tuple[Path, np.ndarray] | None = None
    for one in stack.slices:
        if one.frame is None:
            planes = _read(reader, one)
            yield planes.reshape(planes.shape[-2:])
            continue
        if frames is None or frames[0] != one.path:
            frames = one.path, _read(reader, one)
        yield _rescale(frames[1][one.frame], one, stack)


def _rescale(plane: Num[np.ndarray, "r c"], one: Slice, stack: Stack) -> Num[np.ndarray, "r c"]:
    """Return a frame by its own rescaling; GDCM applies that of the file's first frame to all."""
    first = min((other for other in stack.slices if other.path == one.path), key=lambda other: other.frame or 0)
    if one.scale == first.scale:
        return plane
    stored = np.rint((plane.astype(np.float64) - first.scale[1]) / first.scale[0])
    return stored * one.scale[0] + one.scale[1]


def _read(reader: sitk.ImageFileReader, one: Slice) -> np.ndarray:
    try:
        reader.SetFileName(str(one.path))
        planes: np.ndarray = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        told = str(error).strip().rpartition("\n")[2].rpartition("): ")[2][:160]
        raise InvalidVolumeError(
            f"{one.path.name}: expected pixels that can be decoded, got: {told}",
            code="dicom-damaged",
            remedy="the file was cut or damaged, or its compression is unknown; get the series again.",
        ) from error
    if planes.shape[-2:] != one.shape:
        raise InvalidVolumeError(
            f"{one.path.name}: expected {one.shape} pixels, got {planes.shape}.",
            code="dicom-damaged",
            remedy="the file was cut or damaged; get the series again.",
        )
    return planes
