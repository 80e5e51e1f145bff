"""The slices of DICOM files: from each header, the facts by which slices become volumes.

A file is one slice, or many in an enhanced CT, whose frames have their positions in functional groups. Values that
break the standard (a comma for a point, text for a number) count as missing. Names, dates and descriptions are not
read, so that they cannot travel.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from warnings import catch_warnings, simplefilter

from pydicom import config, dcmread
from pydicom.dataset import Dataset

from medsyn2.dicom.identity import Identity, identity_of

CT_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.2{end}" for end in ("", ".1", ".2"))
"""CT Image Storage, enhanced, and legacy-converted enhanced."""
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
_DIRECTORY = "1.2.840.10008.1.3.10"
POINTER = "Git-LFS pointer"

APART = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "TriggerTime",
    "ConvolutionKernel",
    "KVP",
    "ContrastBolusAgent",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ImageType",
)
"""The attributes that may tell the acquisitions of one series apart, the likeliest first."""

_TAGS = [
    *APART,
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "Rows", "Columns"),
    *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel", "NumberOfFrames"),
    *("RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("SyntheticData", "MediaStorageSOPClassUID"),
]


@dataclass(frozen=True)
class Slice:
    """A slice as its header describes it."""

    path: Path  # The file
    frame: int | None  # Place in a file of many frames
    identity: Identity  # Pseudonyms of patient and study
    series: str  # UID of the series
    series_number: int | None
    instance: str  # UID of the slice, or of its file
    image_type: tuple[str, ...]  # In capitals
    shape: tuple[int, int]  # Rows and columns
    spacing_mm: tuple[float, ...] | None  # Between rows, and between columns
    position_mm: tuple[float, ...] | None  # LPS, of the centre of the first pixel
    orientation: tuple[float, ...] | None  # Directions of a row and of a column
    scale: tuple[float, float]  # Slope and intercept
    apart: Mapping[str, str]  # Values of the attributes `APART`
    is_synthetic: bool  # Whether the file says that a model made it

    @property
    def is_original(self) -> bool:
        """Whether it was reconstructed from what the scanner measured, not from other slices."""
        return self.image_type[:1] != ("DERIVED",)


def read_slices(paths: Iterable[Path]) -> tuple[list[Slice], Counter[str]]:
    """Read the headers of files.

    Returns:
        The slices of CTs, and the number of other files by what they are.
    """
    slices: list[Slice] = []
    others: Counter[str] = Counter()
    for path in paths:
        dataset = _read(path)
        kind = _stand_in(path) if dataset is None else _kind(dataset)
        if dataset is None or kind:
            others[kind] += 1
        else:
            slices += _slices(path, dataset)
    del others["DICOMDIR"]
    return slices, others


def _read(path: Path) -> Dataset | None:
    """Return the wanted elements of a file, without its pixels; None if it is no DICOM file."""
    mode, config.settings.reading_validation_mode = config.settings.reading_validation_mode, config.IGNORE
    try:
        with catch_warnings():
            simplefilter("ignore")
            found: Dataset = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            meta = str(found.file_meta.get("MediaStorageSOPClassUID", ""))
            if "SOPClassUID" not in found and meta:
                found.SOPClassUID = meta
            return found if "SOPClassUID" in found or "SeriesInstanceUID" in found else None
    except Exception:  # noqa: BLE001  # of pydicom: anything, for bytes that are anything
        return None
    finally:
        config.settings.reading_validation_mode = mode


def _stand_in(path: Path) -> str:
    """Return what a file is that is not DICOM."""
    try:
        with path.open("rb") as file:
            start = file.read(32)
    except OSError:
        return "file that cannot be read"
    return POINTER if start.startswith(b"version https://git-lfs") else "file that is not DICOM"


def _kind(dataset: Dataset) -> str:
    """Return what a file is that is no slice of a CT; empty for one."""
    sop_class, modality = _text(dataset, "SOPClassUID"), _text(dataset, "Modality")
    if sop_class == _DIRECTORY:
        return "DICOMDIR"
    if sop_class.startswith(_CAPTURES):
        return "secondary capture"
    if sop_class not in CT_CLASSES and (sop_class or modality != "CT"):
        return modality or "other DICOM"
    if not _number(dataset, "Rows") or not _number(dataset, "Columns"):
        return "CT without pixels"
    return "CT in colours" if (_number(dataset, "SamplesPerPixel") or 1) != 1 else ""


def _slices(path: Path, dataset: Dataset) -> Iterator[Slice]:
    identity = identity_of(path) or Identity("", "")
    frames = int(_number(dataset, "NumberOfFrames") or 1)
    groups = _items(dataset, "PerFrameFunctionalGroupsSequence")
    if frames == 1 and not groups:
        yield _slice(path, dataset, identity, None, [dataset])
        return
    shared = _items(dataset, "SharedFunctionalGroupsSequence")
    for frame in range(frames):
        own = groups[frame : frame + 1]
        yield _slice(path, dataset, identity, frame, [*_members(own), *_members(shared), dataset])


def _members(groups: Iterable[Dataset]) -> Iterator[Dataset]:
    """Yield the first item of each sequence of functional groups."""
    for group in groups:
        for element in group:
            if element.VR == "SQ" and len(element.value):
                yield element.value[0]


def _slice(path: Path, file: Dataset, identity: Identity, frame: int | None, where: list[Dataset]) -> Slice:
    slope, intercept = _first(where, "RescaleSlope", 1), _first(where, "RescaleIntercept", 1)
    kinds = next((found for one in where for name in ("FrameType", "ImageType") if (found := _text(one, name))), "")
    number = _number(file, "SeriesNumber")
    return Slice(
        path=path,
        frame=frame,
        identity=identity,
        series=_text(file, "SeriesInstanceUID"),
        series_number=None if number is None else int(number),
        instance=_text(file, "SOPInstanceUID"),
        image_type=tuple(kinds.upper().split("\\")),
        shape=(int(_number(file, "Rows") or 0), int(_number(file, "Columns") or 0)),
        spacing_mm=_first(where, "PixelSpacing", 2),
        position_mm=_first(where, "ImagePositionPatient", 3),
        orientation=_first(where, "ImageOrientationPatient", 6),
        scale=((slope or (1.0,))[0], (intercept or (0.0,))[0]),
        apart={name: next((found for one in where if (found := _text(one, name))), "") for name in APART},
        is_synthetic=_text(file, "SyntheticData").upper() == "YES",
    )


def _items(dataset: Dataset, name: str) -> list[Dataset]:
    found = dataset.get(name)
    return list(found) if found else []


def _first(where: Iterable[Dataset], name: str, count: int) -> tuple[float, ...] | None:
    """Return the numbers of the first of these data sets that has `count` finite ones."""
    return next((found for one in where if (found := _numbers(one, name, count))), None)


def _numbers(dataset: Dataset, name: str, count: int) -> tuple[float, ...] | None:
    try:
        value = dataset.get(name)
        parts = [value] if isinstance(value, str | int | float) else list(value or ())
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def _number(dataset: Dataset, name: str) -> float | None:
    found = _numbers(dataset, name, 1)
    return found[0] if found else None


def _text(dataset: Dataset, name: str) -> str:
    try:
        value = dataset.get(name)
    except (TypeError, ValueError, NotImplementedError):  # pydicom, of an unknown VR
        return ""
    if value is None:
        return ""
    return (str(value) if isinstance(value, str | int | float) else "\\".join(map(str, value))).strip(" \0")
