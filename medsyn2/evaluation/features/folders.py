"""A folder of NIfTI files as a set of volumes, from any generator.

Spacing is the header's unless stated: some generators write volumes of 0.7 mm with headers of 1 mm, and no value in
the file tells. Values must look like the HU of a chest, or be stated to be HU. A generator that ends at 600 HU is
compared with real volumes clipped there too: two sets that end at different values without a stated range are an
error. A table of patients must name existing volumes, each once. Chests that lie otherwise than their headers say, and
those that are not whole, are warned of.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Num
from tqdm import tqdm

from medsyn2.cohort.folder import is_synthetic, list_folder, same_stems, stem_of
from medsyn2.cohort.volumes import image_hash
from medsyn2.ct.hounsfield.detection import detect_hu
from medsyn2.ct.hounsfield.padding import without_padding
from medsyn2.ct.label_map import refuse_label_map
from medsyn2.ct.volume import CTVolume, Spacing
from medsyn2.errors import EnvironmentFault, IntensityError, TableError, list_names, reason
from medsyn2.evaluation.features.anatomy import describe_set, look_at
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.facts import AnatomyFacts
from medsyn2.formats import read_ct
from medsyn2.vocabulary import volume_path

log = logging.getLogger(__name__)

Ends = tuple[float, float]
_END_TOLERANCE_HU = 50.0
_FIRST_ROW = 2
"""As spreadsheets count them: below the column names."""


@dataclass(frozen=True)
class Extent:
    """HU range of a set of volumes."""

    low_hu: float  # Least value of all
    high_hu: float  # Greatest value of all


def volumes_in(
    folder: Path, *, spacing_mm: Spacing | None, patients: Mapping[str, str], real: bool = False
) -> list[VolumeFile]:
    """Return the volumes of a folder and its subfolders, by name; ``cohort/folder.py`` has the rule of which they are.

    Args:
        spacing_mm: Spacing (depth, height, width) in place of the headers', or None.
        patients: Patient by id, the file's path below the folder without its suffix; a file that is not named
            counts as a patient of its own.
        real: Whether they are real, so that volumes with the sidecar of a synthetic one are left out.

    Raises:
        EnvironmentFault: If there are fewer than two, or two whose names differ in the suffix alone.
    """
    found = list_folder(folder)
    synthetic = {path for path in found.described if is_synthetic(path)} if real else set()
    paths = [path for path in found.volumes if path not in synthetic]
    notes = [*found.notes(), *list_names("synthetic volumes are left out", [str(path) for path in sorted(synthetic)])]
    for note in notes:
        log.warning("%s", note)
    if pairs := same_stems(paths):
        shown = list_names("pairs of files", [f"{one} and {other.name}" for one, other in pairs])[0]
        raise EnvironmentFault(
            f"{shown} have one name; expected one file of each.",
            code="volume-name-twice",
            remedy="keep one file of each pair.",
        )
    if len(paths) < 2:
        raise EnvironmentFault(
            f"{folder} holds {len(paths)} volumes, expected two or more{''.join(f'; {note}' for note in notes)}.",
            code="too-few-volumes",
            remedy="give the folder that the volumes are in.",
        )
    ids = {(path.parent / stem_of(path)).relative_to(folder).as_posix(): path for path in paths}
    return [VolumeFile(name, patients.get(name, name), path, spacing_mm) for name, path in sorted(ids.items())]


def read_patients(path: Path) -> dict[str, str]:
    """Return the patient by id from a CSV with the columns id and patient, in the order of its rows.

    An id is the path of a volume below its folder, with or without its suffix.

    Raises:
        TableError: If the table cannot be read, or a row lacks a value or names a volume again.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows = list(zip(frame["id"].map(lambda name: "/".join(volume_path(name))), frame["patient"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{path} cannot be read as a table with the columns id and patient: {reason(error)}.",
            code="patients-unreadable",
            remedy="give a CSV with these two columns.",
        ) from error
    first: dict[str, int] = {}
    for number, (name, patient) in enumerate(rows, _FIRST_ROW):
        if not (name and patient) or name in first:
            told = f"names {name} again, after row {first[name]}" if name in first else "lacks an id or a patient"
            raise TableError(
                f"{path}, row {number}, {told}; expected one row with an id and a patient for each volume.",
                code="patients-contradictory",
                remedy="correct that row; the column names are row 1.",
            )
        first[name] = number
    return dict(rows)


def check_patients(path: Path, patients: Mapping[str, str], volumes: Collection[VolumeFile]) -> None:
    """Refuse a table with rows of unknown volumes, and warn of volumes without a row."""
    known = {volume.id for volume in volumes}
    astray = [f"row {row}, {name}" for row, name in enumerate(patients, _FIRST_ROW) if name not in known]
    if astray:
        raise TableError(
            f"{path} has {list_names('rows that name no volume', astray)[0]}; "
            f"{list_names('volumes are there', sorted(known))[0]}.",
            code="patients-unmatched",
            remedy="write each volume's path below its folder in the column id, and leave other volumes out.",
        )
    alone = list_names("volumes", sorted(known - set(patients)))
    if alone:
        log.warning("%s does not name %s; each counts as a patient of its own", path, alone[0])


def judge_volumes(
    volumes: Iterable[VolumeFile],
    *,
    stated: bool,
    state_with: str = "--real-in-hu or --synthetic-in-hu",
    distinct: bool = False,
) -> tuple[list[VolumeFile], Extent]:
    """Read every volume once and judge its values as the inventory does, and warn of its anatomy.

    Args:
        stated: Whether the user states that the values are HU; else they must look like HU.
        distinct: Whether the same voxels twice are refused, as of real volumes; else they are warned of.

    Returns:
        The volumes, which are read without their padding from now on, and the range of their HU.

    Raises:
        IntensityError: If the values are not HU.
        InvalidVolumeError: If a file is damaged, or a label map.
        EnvironmentFault: If two volumes are the same.
    """
    first: dict[str, VolumeFile] = {}
    judged, ends = [], []
    noted: dict[str, list[str]] = {}
    anatomies: dict[str, AnatomyFacts] = {}
    for volume in tqdm(list(volumes), desc="HU and anatomy", unit="volume"):
        found, read, notes = _judge(volume, stated, state_with)
        hu = read.hu
        anatomies[str(volume.path)], looks = look_at(read)
        for note in (*notes, *looks):
            noted.setdefault(note, []).append(str(volume.path))
        other = first.setdefault(image_hash(hu), volume)
        if other is not volume:
            _report_copy(other, volume, refuse=distinct and other.patient != volume.patient)
        judged.append(found)
        ends.append(_ends(hu))
    for note, paths in noted.items():
        log.warning("%s: %s", list_names("volumes", paths)[0], note)
    for text in describe_set(anatomies):
        log.warning("%s", text)
    return judged, _extent(ends)


def _report_copy(one: VolumeFile, other: VolumeFile, *, refuse: bool) -> None:
    told = f"{one.path} and {other.path} hold the same voxels"
    if refuse:
        raise EnvironmentFault(
            f"{told}; expected each scan once.",
            code="volume-twice",
            remedy="take one of them out, or give both one patient (--patients).",
        )
    log.warning("%s: each counts", told)


def extent_of_hu(volumes: Iterable[VolumeFile]) -> Extent:
    """Return the extent of volumes known to be in HU, such as the cohort's."""
    return _extent(_ends(read_ct(volume.path).hu) for volume in volumes)


def _judge(volume: VolumeFile, stated: bool, state_with: str) -> tuple[VolumeFile, CTVolume, tuple[str, ...]]:
    """Return a volume that knows its padding, its CT with air in the place of that, and notes."""
    read = volume.read()
    values = read.hu
    try:
        refuse_label_map(values, str(volume.path), remedy="leave its folder out; label maps are not compared.")
        judgement = detect_hu(values, name=str(volume.path), convention="hu" if stated else "detect")
    except IntensityError as error:
        raise IntensityError(
            error.message,
            code=error.code,
            remedy=f"convert the volumes to HU; if they are, state it with {state_with}.",
        ) from error
    hu = without_padding(values, judgement.padding)
    return replace(volume, padding=judgement.padding), CTVolume(hu, read.affine_mm), judgement.notes


def _ends(hu: Num[np.ndarray, "d h w"]) -> Ends:
    return float(hu.min()), float(hu.max())


def _extent(ends: Iterable[Ends]) -> Extent:
    low, high = zip(*ends, strict=True)
    return Extent(min(low), max(high))


def common_clip_hu(
    real: Extent, synthetic: Extent, clip_hu: tuple[float, float], *, state_with: str = "--clip-hu -1024 600"
) -> tuple[float, float]:
    """Return the HU range to compare in, if both sets fill it or are cut by it at the same value.

    Raises:
        EnvironmentFault: If one set ends inside the range and the other goes beyond that end.
    """
    ends = {
        "low": (max(real.low_hu, clip_hu[0]), max(synthetic.low_hu, clip_hu[0])),
        "high": (min(real.high_hu, clip_hu[1]), min(synthetic.high_hu, clip_hu[1])),
    }
    apart = {name: pair for name, pair in ends.items() if abs(pair[0] - pair[1]) > _END_TOLERANCE_HU}
    if apart:
        told = "; ".join(f"the {name} end is {pair[0]:g} and {pair[1]:g} HU" for name, pair in apart.items())
        raise EnvironmentFault(
            f"real and synthetic volumes do not fill one HU range: {told}, within {clip_hu[0]:g} to {clip_hu[1]:g}.",
            code="hu-range-differs",
            remedy=f"state the range that both are clipped to, such as {state_with} for a generator that ends at "
            "600 HU.",
        )
    return clip_hu
