"""A folder of NIfTI files as a set of volumes, from any generator.

Spacing is the header's unless stated: some generators write volumes of 0.7 mm with headers of 1 mm, and no value in
the file tells. Values must look like the HU of a chest, or be stated to be HU. A generator that ends at 600 HU is
compared with real volumes clipped there too: two sets that end at different values without a stated range are an
error. A table of patients must name existing volumes, each once.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Num
from tqdm import tqdm

from medsyn2.ct.hounsfield.detection import detect_hu
from medsyn2.ct.hounsfield.padding import without_padding
from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import Spacing
from medsyn2.errors import EnvironmentFault, IntensityError, TableError, list_names, reason
from medsyn2.evaluation.features.volume_file import VolumeFile

log = logging.getLogger(__name__)

SUFFIXES = (".nii.gz", ".nii")
Ends = tuple[float, float]
_END_TOLERANCE_HU = 50.0
_FIRST_ROW = 2
"""As spreadsheets count them: below the column names."""


@dataclass(frozen=True)
class Extent:
    """HU range of a set of volumes."""

    low_hu: float  # Least value of all
    high_hu: float  # Greatest value of all


def volumes_in(folder: Path, *, spacing_mm: Spacing | None, patients: Mapping[str, str]) -> list[VolumeFile]:
    """Return the NIfTI files of a folder and its subfolders, by name.

    Args:
        spacing_mm: Spacing (depth, height, width) in place of the headers', or None.
        patients: Patient by id, the file's path below the folder without its suffix; a file that is not named
            counts as a patient of its own.

    Raises:
        EnvironmentFault: If there are fewer than two.
    """
    found = {
        path.relative_to(folder).as_posix().removesuffix(suffix): path
        for suffix in SUFFIXES
        for path in folder.rglob(f"*{suffix}")
    }
    if len(found) < 2:
        raise EnvironmentFault(
            f"{folder} holds {len(found)} NIfTI files (.nii, .nii.gz), expected two or more.",
            code="too-few-volumes",
            remedy="give the folder that the volumes are in.",
        )
    return [VolumeFile(name, patients.get(name, name), path, spacing_mm) for name, path in sorted(found.items())]


def read_patients(path: Path) -> dict[str, str]:
    """Return the patient by id from a CSV with the columns id and patient, in the order of its rows.

    An id is the path of a volume below its folder, with or without its suffix.

    Raises:
        TableError: If the table cannot be read, or a row lacks a value or names a volume again.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows = list(zip(frame["id"].str.replace(r"\.nii(\.gz)?$", "", regex=True), frame["patient"], strict=True))
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
    volumes: Iterable[VolumeFile], *, stated: bool, state_with: str = "--real-in-hu or --synthetic-in-hu"
) -> tuple[list[VolumeFile], Extent]:
    """Read every volume once and judge its values as the inventory does.

    Args:
        stated: Whether the user states that the values are HU; else they must look like HU.

    Returns:
        The volumes, which are read without their padding from now on, and the range of their HU.

    Raises:
        IntensityError: If the values are not HU.
    """
    judged = [_judge(volume, stated, state_with) for volume in tqdm(list(volumes), desc="HU", unit="volume")]
    return [volume for volume, _ in judged], _extent(ends for _, ends in judged)


def extent_of_hu(volumes: Iterable[VolumeFile]) -> Extent:
    """Return the extent of volumes known to be in HU, such as the cohort's."""
    return _extent(_ends(read_ct(volume.path).hu) for volume in volumes)


def _judge(volume: VolumeFile, stated: bool, state_with: str) -> tuple[VolumeFile, Ends]:
    """Return a volume with its padding, and its least and greatest HU."""
    values = read_ct(volume.path).hu
    try:
        judgement = detect_hu(values, name=volume.id, convention="hu" if stated else "detect")
    except IntensityError as error:
        raise IntensityError(
            error.message,
            code=error.code,
            remedy=f"convert the volumes to HU; if they are, state it with {state_with}.",
        ) from error
    for note in judgement.notes:
        log.warning("%s: %s", volume.id, note)
    return replace(volume, padding=judgement.padding), _ends(without_padding(values, judgement.padding))


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
