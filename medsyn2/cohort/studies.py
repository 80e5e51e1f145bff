"""The DICOM studies of a folder, known from one file of each subfolder.

A case is a study: one visit of one patient, in as many folders of slices as there are series. Listing a cohort must not
open millions of slices, so one file of each folder that holds slices tells patient and study (`dicom.identity`). A
study's place is the highest folder below the cohort's with slices of it alone, such as the folder of an accession
number. Where studies share folders of series, the folder with most slices is the case, the others are read if it cannot
be used. A folder in which studies or patients are mixed is refused when it is read, with all its headers.

An archive (.zip, .tar, .tgz ...) that holds slices is a study of its own, known from the first of them. Where a study
lies in a folder and in archives, the folder is the case, then the largest archive.

The reports, localisers and derived images of a study are sorted out then, too (`dicom.series`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medsyn2.dicom.identity import START_BYTES, Identity, identity_in, identity_of, pseudonym
from medsyn2.dicom.members import FAULTS, members_of

_SLICE_NAME = re.compile(r"[^.]+|.*\.(?:dcm|dicom|ima|dc3|\d+)", re.IGNORECASE | re.DOTALL)
"""Names of slices: with a suffix of DICOM, with a UID's last number for a suffix, or without any."""
_DIRECTORY = "dicomdir"
_TRIES = 3
"""Files of a folder that are opened until one is DICOM."""
_MAX_PASSED_BYTES = 64 << 20
"""Of a tar, in which they are looked for: a second of decompression, and more than the viewers on patients' discs."""
_UNKNOWN, _NOTHING = Identity("", ""), Identity("", "-")
"""Of an archive that cannot be read, and of one that holds no DICOM."""


@dataclass(frozen=True)
class Studies:
    """The studies of a folder."""

    places: tuple[Path, ...] = ()  # Of each study, the folder that stands for it
    patients: Mapping[Path, str] = field(default_factory=dict)  # Pseudonym of the patient, where the files name one
    later: Mapping[Path, tuple[Path, ...]] = field(default_factory=dict)  # A study's further folders
    # Patient and study of each folder of slices, by key, and of archives, those without DICOM included
    folders: Mapping[str, Identity] = field(default_factory=dict)
    slices: int = 0  # Files that seem to be slices
    archives: int = 0  # Archives that hold slices, or cannot be looked into


@dataclass(frozen=True)
class Leaf:
    """A folder of slices, or an archive of them."""

    path: str
    size: int  # Files that may be slices; of an archive, its bytes
    identity: Identity
    is_archive: bool = False

    @property
    def holds_slices(self) -> bool:
        """Whether it is a study, or may be one."""
        return self.identity != _NOTHING


def is_slice_name(name: str) -> bool:
    """Return whether a file of this name may be a slice."""
    return _SLICE_NAME.fullmatch(name) is not None and name.lower() != _DIRECTORY


def find_leaf(folder: str, names: Iterable[str], known: Mapping[str, Identity], root: str) -> Leaf | None:
    """Return a folder of slices with its patient and study; None if none of the first files is DICOM.

    Args:
        names: Its files that may be slices.
        known: Patient and study of folders that were looked into before, by `folder_key`.
    """
    names = list(names)
    identity = known.get(folder_key(folder, root))
    if identity is None:
        tries = sorted(names)[:_TRIES]
        identity = next((found for name in tries if (found := identity_of(Path(folder, name))) is not None), None)
    return None if identity is None else Leaf(folder, len(names), identity)


def find_archive(path: str, size: int, known: Mapping[str, Identity], root: str) -> Leaf:
    """Return an archive with its patient and study; see `Leaf.holds_slices` for one that has none.

    One that cannot be read is a case without a patient, which is refused by name when it is read. One without DICOM is
    known by its size, too, so that it is looked into again when it is replaced.

    Args:
        size: Its bytes.
        known: Patient and study of archives that were looked into before, by `folder_key`.
    """
    identity = known.get(folder_key(path, root)) or known.get(_barren_key(path, size, root))
    if identity is None:
        try:
            identity = _identity_of_archive(Path(path)) or _NOTHING
        except FAULTS:
            identity = _UNKNOWN
    return Leaf(path, size, identity, is_archive=True)


def _barren_key(path: str, size: int, root: str) -> str:
    return folder_key(f"{path} {size}", root)


def _identity_of_archive(path: Path) -> Identity | None:
    """Return the patient and the study of the first slice of an archive, looked for in each folder of it."""
    tries: Counter[str] = Counter()
    with path.open("rb") as file:
        for member in members_of(file, path.name):
            folder, _, name = member.name.replace("\\", "/").rpartition("/")
            if is_slice_name(name) and tries[folder] < _TRIES:
                tries[folder] += 1
                if (found := identity_in(member.file.read(START_BYTES))) is not None:
                    return found
            if member.end > _MAX_PASSED_BYTES:
                break
    return None


def folder_key(folder: str, root: str) -> str:
    """Return a pseudonym of a folder's place below the cohort's, since names of folders may be names of people."""
    return pseudonym("folder", folder.removeprefix(root).strip("/").encode("utf-8", "surrogateescape") or b".")


def group_studies(leaves: Iterable[Leaf], root: str) -> Studies:
    """Return the studies that folders and archives of slices are of."""
    looked_into = list(leaves)
    leaves = [leaf for leaf in looked_into if leaf.holds_slices]
    archives = {leaf.path for leaf in leaves if leaf.is_archive}
    own = {leaf.path: leaf.identity if leaf.identity.study else leaf.path for leaf in leaves}
    above: dict[str, set[object]] = defaultdict(set)
    for leaf in leaves:
        for folder in () if leaf.is_archive else _upwards(leaf.path, root):
            above[folder].add(own[leaf.path])
    sizes: dict[object, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for leaf in leaves:
        alone = [leaf.path, *(folder for folder in _upwards(leaf.path, root) if len(above[folder]) == 1)]
        sizes[own[leaf.path]][leaf.path if leaf.is_archive else alone[-1]] += leaf.size
    found: list[tuple[str, object]] = []
    patients, later = {}, {}
    for study, folders in sizes.items():
        first, *others = sorted(folders, key=lambda place: (place in archives, -folders[place], place))
        found.append((first, study))
        if isinstance(study, Identity) and study.patient:
            patients[Path(first)] = study.patient
        if others:
            later[Path(first)] = tuple(Path(other) for other in others)
    known = {folder_key(leaf.path, root): leaf.identity for leaf in leaves if leaf.identity != _UNKNOWN}
    barren = [leaf for leaf in looked_into if not leaf.holds_slices]
    known |= {_barren_key(leaf.path, leaf.size, root): leaf.identity for leaf in barren}
    # Of the places too, so that the patient of a study that is removed keeps its rank among the others.
    known |= {folder_key(place, root): study for place, study in found if isinstance(study, Identity)}
    places = tuple(sorted(Path(place) for place, _ in found))
    slices = sum(leaf.size for leaf in leaves if not leaf.is_archive)
    return Studies(places, patients, later, known, slices, len(archives))


def _upwards(folder: str, root: str) -> list[str]:
    """Return a folder and those above it, below the root; the root alone if it is that."""
    found = [folder]
    while (parent := found[-1].rpartition("/")[0]) != root and len(parent) > len(root):
        found.append(parent)
    return found
