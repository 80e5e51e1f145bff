"""The patient of each file: all scans of one are in the same split.

In this order, the patient is known from the table of subjects, from CT-RATE's names (``train_1_a_1`` is a scan of
``train_1``), from BIDS's (``sub-01_ses-2_ct`` is one of ``sub-01``), and from nnU-Net's: a name with the channel
``_0000`` and one without are of one case, and the files of one case in ``imagesTr`` differ in the channel alone. Any
other file is a patient of its own.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medsyn2.errors import TableError
from medsyn2.reports.cells import read_cells
from medsyn2.reports.names import VolumeNames
from medsyn2.reports.text import clean_text
from medsyn2.vocabulary import CT_RATE_NAME, volume_key

COLUMNS = ("VolumeName", "Subject")
"""Of the table of subjects."""

_BIDS = re.compile(r"(sub-[A-Za-z0-9]+)(_|$)")
_CHANNEL = re.compile(r"(.+)_(\d{4})")
_IMAGES = re.compile(r"images(tr|ts|val)", re.IGNORECASE)


@dataclass(frozen=True)
class SubjectTable:
    """The table of subjects, applied to the files of a cohort."""

    of: Mapping[str, str] = field(default_factory=dict)  # Subject by the key of a file
    total: int = 0  # Rows that name a subject


def subjects_by_name(order: Mapping[str, str]) -> dict[str, str]:
    """Return the patient of each case by the name of its file.

    Args:
        order: File of each case id, relative to the cohort's folder.
    """
    channels = _channels(order.values())
    return {case_id: channels.get(place) or _by_name(place, case_id) for case_id, place in order.items()}


def _by_name(place: str, case_id: str) -> str:
    name = volume_key(place)
    if match := CT_RATE_NAME.match(name):
        return f"{match[1]}_{match[2]}".lower()
    if match := _BIDS.match(name):
        return match[1]
    return case_id.removesuffix("_0000") or case_id


def _channels(places: Iterable[str]) -> dict[str, str]:
    """Return the case of each file of nnU-Net's folders of images, in which each case has a channel 0000.

    A folder whose files are one name with numbers from 0000 on has numbered cases, not the channels of one.
    """
    folders: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for place in places:
        folder, _, name = place.rpartition("/")
        if _IMAGES.fullmatch(folder.rpartition("/")[2]):
            match = _CHANNEL.fullmatch(volume_key(name))
            folders[folder][place] = (match[1], match[2]) if match else (place, "")
    found: dict[str, str] = {}
    for files in folders.values():
        cases = {case for case, _ in files.values()}
        if len(cases) > 1 and {(case, "0000") for case in cases} <= set(files.values()):
            found.update({place: case for place, (case, _) in files.items()})
    return found


def read_subjects(path: Path | None, names: VolumeNames) -> SubjectTable:
    """Read the subject of each volume; rows without a subject are ignored.

    Splits are by subject, so that contradicting rows stop the run rather than put one patient into both splits, as does
    a table that knows none of the files.

    Args:
        path: Table with VolumeName and Subject; None if there is none.
        names: The files of the cohort.

    Raises:
        TableError: If the file cannot be read, lacks a column, gives a volume two subjects, or is of no file.
    """
    if path is None:
        return SubjectTable()
    cells = read_cells(path, COLUMNS, is_name=lambda text: names.find(text) is not None)
    volume_at, subject_at = (cells.columns.index(name) for name in COLUMNS)
    rows = [(row[volume_at], clean_text(row[subject_at])) for row in cells.rows]
    rows = [(volume, subject) for volume, subject in rows if subject]
    spellings: dict[str, str] = {}
    found: dict[str, str] = {}
    for volume, given in rows:
        key, subject = names.find(volume), spellings.setdefault(given.casefold(), given)
        if key is not None and found.setdefault(key, subject) != subject:
            raise TableError(
                f"{path} gives {volume} the subjects {found[key]} and {subject}, expected one.",
                code="subject-conflict",
                remedy="correct the rows of this volume.",
            )
    if rows and not found:
        raise TableError(
            f"{path} has {len(rows)} rows, and none is of a file of the cohort: the first is of {rows[0][0]!r}, a file "
            f"is called {min(names.keys, default='')!r}.",
            code="table-unmatched",
            remedy="write the names of the files into VolumeName, with their folder where several have one name; scans "
            "of a patient would otherwise come into both splits.",
        )
    return SubjectTable(found, len(rows))
