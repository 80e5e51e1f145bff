"""Choice of the volumes of a reader study, with the report and mask each is compared with.

As many real as synthetic volumes of each finding are drawn. The draw follows from the files' contents and the seed, not
from names, order or kind, so that it cannot depend on the label "real". A report or mask of one kind only would tell
the kinds apart, and so would a report that names its source; both are refused.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from medsyn2.ct.nifti.files import read_labels
from medsyn2.ct.volume import Grid, LabelMap, Spacing
from medsyn2.errors import CaseError, EnvironmentFault, MaskError, TableError, reason
from medsyn2.evaluation.features.folders import volumes_in
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.readers.reader_study import SOURCES

log = logging.getLogger(__name__)

Source = Literal["real", "synthetic"]

_TELLING = ("synthetic", "generated", "phantom")


@dataclass(frozen=True)
class StudyVolume:
    """One volume that a study may show."""

    source: Source  # ``real`` or ``synthetic``
    file: VolumeFile  # The volume
    digest: str  # sha256 of the file
    pathology: str  # The finding, in words
    report: str | None = None  # Report to compare the image with; None without
    mask: Path | None = None  # File of the mask to compare the image with; None without

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.source}/{self.file.id}"

    @property
    def requests(self) -> set[str]:
        """Those of ``report`` and ``mask`` that it has."""
        return {name for name in ("report", "mask") if getattr(self, name) is not None}


def volumes_by_finding(folder: Path, source: Source, spacing_mm: Spacing | None) -> list[StudyVolume]:
    """Return the volumes below a folder, whose subfolders name the findings; files of one name are of one patient.

    Args:
        spacing_mm: Spacing (depth, height, width) in place of the headers', or None.

    Raises:
        EnvironmentFault: If there are fewer than two, or one lies in no folder.
    """
    found = []
    for file in volumes_in(folder, spacing_mm=spacing_mm, patients={}):
        pathology, slash, _ = file.id.partition("/")
        if not slash:
            raise EnvironmentFault(
                f"{file.path} lies in no folder that names its finding.",
                code="finding-missing",
                remedy=f"put the volumes into folders by finding, such as {folder}/nodules/.",
            )
        one = replace(file, patient=Path(file.id).name)
        found.append(StudyVolume(source, one, file.digest(), pathology.replace("_", " ")))
    return found


def add_requests(volumes: Sequence[StudyVolume], table: Path) -> list[StudyVolume]:
    """Add the reports, masks and patients that a table names, and drop the masks from the volumes.

    Args:
        table: CSV with source, id, and report, mask or both, and patient where the file's name does not tell; masks are
            named from the table's folder.

    Raises:
        TableError: If the table cannot be read, or a report holds words that reveal its source.
    """
    try:
        frame = pd.read_csv(table, dtype=str).set_index(["source", "id"])
        rows: dict[Any, dict[Any, Any]] = frame.to_dict(orient="index")
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{table} cannot be read as a table with the columns source and id, a row a volume: {reason(error)}.",
            code="cases-unreadable",
            remedy="give a CSV with source, id and report or mask.",
        ) from error
    masks = {(table.parent / row["mask"]).resolve() for row in rows.values() if isinstance(row.get("mask"), str)}
    kept = []
    for one in volumes:
        row = rows.get((one.source, one.file.id), {})
        given = {name: value for name, value in row.items() if isinstance(value, str)}
        report, mask = given.get("report"), given.get("mask")
        _check_report(report, one)
        if one.file.path.resolve() not in masks:
            file = replace(one.file, patient=given.get("patient", one.file.patient))
            kept.append(replace(one, file=file, report=report, mask=None if mask is None else table.parent / mask))
    return kept


def _check_report(report: str | None, of: StudyVolume) -> None:
    words = [*_TELLING, Path(of.file.id).name.lower()]
    found = [word for word in words if report is not None and word in report.lower()]
    if found:
        raise TableError(
            f"the report of {of.name} holds {found[0]!r}, which may tell readers where it is from.",
            code="report-unblinds",
            remedy="take the word out of the report.",
        )


def choose_volumes(volumes: Sequence[StudyVolume], at_most: int, seed: int) -> list[StudyVolume]:
    """Draw as many real as synthetic volumes of each finding, by the files' contents and the seed.

    Raises:
        EnvironmentFault: If a finding has volumes of one kind only.
    """
    drawn: list[StudyVolume] = []
    for pathology in sorted({one.pathology for one in volumes}):
        sides = [
            sorted(
                (one for one in volumes if (one.source, one.pathology) == (source, pathology)),
                key=lambda one: sha256(f"{seed} {one.digest}".encode()).digest(),
            )
            for source in SOURCES
        ]
        num = min(at_most, *map(len, sides))
        if num == 0:
            raise EnvironmentFault(
                f"there are {len(sides[0])} real and {len(sides[1])} synthetic volumes of {pathology}.",
                code="finding-one-sided",
                remedy="give both kinds of each finding; one kind alone would tell readers what it is.",
            )
        log.info("%s: %d real and %d synthetic volumes", pathology, num, num)
        drawn += [*sides[0][:num], *sides[1][:num]]
    return drawn


def common_requests(volumes: Sequence[StudyVolume]) -> set[str]:
    """Return those of ``report`` and ``mask`` that all volumes have.

    Raises:
        TableError: If some have one and others do not.
    """
    given = volumes[0].requests
    odd = next((one for one in volumes if one.requests != given), None)
    if odd is not None:
        raise TableError(
            f"{odd.name} has {sorted(odd.requests) or 'neither report nor mask'}, but "
            f"{volumes[0].name} has {sorted(given) or 'neither'}.",
            code="requests-uneven",
            remedy="give a report to all volumes or to none, and the same for masks; a difference tells them apart.",
        )
    return given


def mask_of(volume: StudyVolume, grid: Grid) -> LabelMap | None:
    """Read the mask of a volume and place it on the volume's grid, which a stated spacing may have changed.

    Raises:
        MaskError: If it cannot be read or has another shape.
    """
    path = volume.mask
    if path is None:
        return None
    try:
        mask = read_labels(path).binary()
    except (CaseError, OSError) as error:
        raise MaskError(
            f"the mask {path} of {volume.name} cannot be read: {error}",
            code="mask-unreadable",
            remedy="name an existing NIfTI file of 0 and 1, from the folder of the table.",
        ) from error
    if mask.shape != grid.shape:
        raise MaskError(
            f"the mask {path} has {mask.shape} voxels, its volume {volume.name} has {grid.shape}.",
            code="mask-grid",
            remedy="bring the mask to the grid of its volume.",
        )
    return LabelMap(mask, grid.affine_mm)
