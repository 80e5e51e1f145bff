"""The volumes of a folder: one rule for the workflow's cohort and for the folders of ``medsyn2 evaluate``.

A volume is a file named .nii.gz, .nii, .mha, .mhd, .nrrd or .nhdr, in any case, of a folder or its subfolders, or a
DICOM study, which is a folder or an archive of slices (``studies.py``). These are none:

    hidden files and folders, and those that systems make    a store of git-annex or DVC, a trash, AppleDouble
    results of runs                                          registered copies, masks, synthetic volumes
    the masks that ``medsyn2 generate`` wrote                beside a sidecar that says so
    label maps by layout                                     labelsTr beside imagesTr, with files of the same names
    links to a file that is a volume itself                  the other name of a scan is not another scan

No volume is opened, of a folder or an archive of slices one file, and a sidecar only where a name suggests it:
Snakemake lists the cohort on every node of a cluster. So copies of the voxels, and label maps that lie elsewhere, are
found when the files are read.
"""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medsyn2.cohort.studies import Leaf, Studies, find_archive, find_leaf, group_studies, is_slice_name
from medsyn2.dicom.identity import Identity
from medsyn2.dicom.members import is_archive_name
from medsyn2.errors import list_names, reason
from medsyn2.vocabulary import CASE_SUFFIXES, VOLUME_SUFFIXES

ORDER = Path("inventory/order.txt")
"""The file that every run keeps in its results, by which they are known."""

_OF_SYSTEMS = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"})
"""Folders of copies, thumbnails and trash that macOS, Synology, Windows and ext4 make, in lower case."""
_MADE_MASK = re.compile(r"(.+)_(?:mask(?:_model|_before_[1-9]\d*)?|region)\.nii(?:\.gz)?", re.IGNORECASE)
_LABELS = re.compile(r"(?:labels?|masks?|seg(?:mentation)?s?)(.{0,4})", re.IGNORECASE)
_IMAGES = re.compile(r"(?:images?|imgs?|volumes?|cts?|scans?)(.{0,4})", re.IGNORECASE)
_CHANNEL = "_0000"
"""What nnU-Net appends to the name of a CT and not to that of its label map."""


@dataclass
class Folder:
    """The files of a folder, by what they are."""

    path: Path
    volumes: list[Path] = field(default_factory=list)  # Sorted
    described: set[Path] = field(default_factory=set)  # Volumes with a JSON file of their name beside them
    label_maps: list[Path] = field(default_factory=list)  # Folders of label maps
    masks: list[Path] = field(default_factory=list)  # Written by ``medsyn2 generate``
    results: list[Path] = field(default_factory=list)  # Folders that runs left
    studies: Studies = field(default_factory=Studies)  # The DICOM studies among the volumes
    links: dict[Path, Path] = field(default_factory=dict)  # The volume that each link is another name of
    unreadable: dict[Path, str] = field(default_factory=dict)  # Folders that cannot be listed, and why
    others: Counter[str] = field(default_factory=Counter)  # Number of files of other kinds, by suffix

    def notes(self) -> Iterator[str]:
        """Yield what is not looked at and why, for the user."""
        if self.studies.places:
            kinds = {"DICOM files": self.studies.slices, "archives of DICOM": self.studies.archives}
            told = " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
            yield f"{self.path} holds {told} of {len(self.studies.places)} studies"
        if self.others:
            counts = ", ".join(f"{count} {suffix}" for suffix, count in self.others.most_common())
            yield f"{self.path} holds files that are not looked at: {counts}"
        names = {
            "folders of label maps, not CTs (the folder of their images lies beside each)": self.label_maps,
            "masks of synthetic volumes": self.masks,
            "folders of results, which are never a cohort": self.results,
            "links to files that are volumes themselves": list(self.links),
            "folders that cannot be read": list(self.unreadable),
        }
        for label, paths in names.items():
            yield from (f"left out: {text}" for text in list_names(label, [str(path) for path in sorted(paths)]))


def list_folder(path: Path, exclude_dirs: Collection[str] = (), known: Mapping[str, Identity] | None = None) -> Folder:
    """List a folder with its subfolders; links are followed, each folder is visited once.

    Args:
        exclude_dirs: Names of folders that are not searched, at any depth.
        known: Patient and study of folders of slices that were looked into before (`Studies.folders`).
    """
    found = Folder(path)
    links: dict[str, os.DirEntry[str]] = {}
    inodes: dict[int, list[str]] = defaultdict(list)
    labels: list[Path] = []
    leaves: list[Leaf] = []
    for here, files in _walk(found, frozenset(exclude_dirs)):
        if _LABELS.fullmatch(here.rpartition("/")[2]):
            labels.append(Path(here))
        names = {entry.name for entry in files}
        files, taken = _take_slices(here, files, known or {}, str(path))
        leaves += taken
        archives = (Path(leaf.path) for leaf in taken if leaf.is_archive and leaf.holds_slices)
        found.described.update(archive for archive in archives if f"{stem_of(archive)}.json" in names)
        for entry in files:
            if not is_volume_name(entry.name):
                found.others[Path(entry.name).suffix.lower() or "no suffix"] += 1
            elif _is_made_mask(here, entry.name, names):
                found.masks.append(Path(entry.path))
            else:
                volume = Path(entry.path)
                found.volumes.append(volume)
                if f"{stem_of(volume)}.json" in names:
                    found.described.add(volume)
                if entry.is_symlink():
                    links[entry.path] = entry
                else:
                    inodes[entry.inode()].append(entry.path)
    _leave_out_links(found, links, inodes)
    if labels:
        _leave_out_label_maps(found, labels)
    found.studies = group_studies(leaves, str(path))
    found.volumes = sorted([*found.volumes, *found.studies.places])
    return found


def is_volume_name(name: str) -> bool:
    """Return whether a file of this name holds a volume."""
    return name.lower().endswith(VOLUME_SUFFIXES)


def stem_of(path: Path) -> str:
    """Return a file's name without the suffix of its format; the whole name of a folder."""
    lowered = path.name.lower()
    for suffix in CASE_SUFFIXES:
        if lowered.endswith(suffix):
            return path.name[: -len(suffix)]
    return path.name


def same_stems(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return the pairs of files of one folder whose names differ in the suffix alone, such as c.nii and c.nii.gz.

    They are one scan twice, or two scans that no row of a table can tell apart.
    """
    first: dict[str, tuple[Path, str]] = {}
    pairs = []
    for path in paths:
        name = str(path).lower()
        suffix = next((suffix for suffix in CASE_SUFFIXES if name.endswith(suffix)), "")
        other, known = first.setdefault(name.removesuffix(suffix), (path, suffix))
        if known != suffix and other.parent == path.parent:
            pairs.append((other, path))
    return pairs


def places_of(paths: Iterable[Path], folder: Path) -> dict[Path, str]:
    """Return the path of each file below the folder that it was listed in."""
    start = "" if folder == Path() else f"{folder}/"
    return {path: "." if path == folder else str(path).removeprefix(start) for path in paths}


def is_synthetic(volume: Path) -> bool:
    """Return whether the JSON beside a volume is the sidecar of ``medsyn2 generate``."""
    return _says_synthetic(volume.with_name(f"{stem_of(volume)}.json"))


def _take_slices(
    folder: str, files: list[os.DirEntry[str]], known: Mapping[str, Identity], root: str
) -> tuple[list[os.DirEntry[str]], list[Leaf]]:
    """Return the files that are no slices, and the folder as one of slices if it holds any, and archives of them."""
    leaves, taken = [], set()
    names = [entry.name for entry in files if is_slice_name(entry.name)]
    if names and (leaf := find_leaf(folder, names, known, root)) is not None:
        leaves.append(leaf)
        taken.update(names)
    for entry in files:
        if entry.name not in taken and is_archive_name(entry.name):
            leaf = find_archive(entry.path, _size_of(entry), known, root)
            leaves.append(leaf)
            taken.update({entry.name} if leaf.holds_slices else ())
    return [entry for entry in files if entry.name not in taken], leaves


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # a link to nothing, which is a missing file
        return 0


def _walk(found: Folder, exclude_dirs: frozenset[str]) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each folder with its visible files; linked folders come last, unless they were visited under another name.

    A folder's identity is looked up only where there are links: of the 50,000 folders of CT-RATE it takes a second, and
    minutes over a network.
    """
    within = _is_within_results(found.path)
    visited: list[str] = []
    seen: set[tuple[int, int]] = set()
    starts, linked = [str(found.path)], False
    while starts:
        links: list[str] = []
        pending = starts[::-1]
        while pending:
            here = pending.pop()
            try:
                if linked and _is_known(here, seen):
                    continue
                entries = [entry for entry in os.scandir(here) if entry.name[0] != "." or _is_lock(entry.name)]
            except OSError as error:
                found.unreadable[Path(here)] = reason(error)
                continue
            visited.append(here)
            names = {entry.name for entry in entries}
            if not within and _is_results(here, names):
                found.results.append(Path(here))
                continue
            folders, files = _divide(entries)
            shards = [] if within else [entry for entry in folders if _is_shard(entry.name, names)]
            found.results += [Path(entry.path) for entry in shards]
            for entry in folders:
                if entry not in shards and not _is_left_out(entry.name, exclude_dirs):
                    (links if entry.is_symlink() else pending).append(entry.path)
            yield here, files
        if links and not linked:
            linked = True
            for folder in visited:
                _is_known(folder, seen)
        starts = sorted(links)


def _is_left_out(name: str, exclude_dirs: frozenset[str]) -> bool:
    return name in exclude_dirs or name.lower() in _OF_SYSTEMS


def _is_known(folder: str, seen: set[tuple[int, int]]) -> bool:
    """Return whether a folder was seen before, and remember it."""
    status = Path(folder).stat()
    identity = status.st_dev, status.st_ino
    known = identity in seen
    seen.add(identity)
    return known


def _divide(entries: list[os.DirEntry[str]]) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Return the folders, the last by name first, and the files, of which locks are none."""
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    for entry in entries:
        if entry.name[0] != ".":
            (folders if _is_folder(entry) else files).append(entry)
    return sorted(folders, key=lambda entry: entry.name, reverse=True), files


def _is_lock(name: str) -> bool:
    return name.endswith(".json.lock")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _is_results(folder: str, names: Collection[str]) -> bool:
    """Return whether a folder holds the results of a run."""
    return ORDER.parent.name in names and os.path.isfile(os.path.join(folder, ORDER))  # noqa: PTH113, PTH118


def _is_shard(name: str, beside: Collection[str]) -> bool:
    """Return whether a subfolder is a shard of a stage: its manifest and the manifest's lock lie beside it."""
    return f"{name}.json" in beside and f".{name}.json.lock" in beside


def _is_within_results(folder: Path) -> bool:
    """Return whether a folder that was named lies in a run's results: then they are what is asked for."""
    above = folder.absolute().parents
    return any((parent / ORDER).is_file() for parent in above) or (folder / ".0000.json.lock").is_file()


def _is_made_mask(folder: str, name: str, names: Collection[str]) -> bool:
    match = _MADE_MASK.fullmatch(name)
    return match is not None and f"{match[1]}.json" in names and _says_synthetic(Path(folder, f"{match[1]}.json"))


def _says_synthetic(sidecar: Path) -> bool:
    try:
        values = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("synthetic") is True and "medsyn2" in values


def _leave_out_links(found: Folder, links: dict[str, os.DirEntry[str]], inodes: dict[int, list[str]]) -> None:
    """Leave out links to files that are listed themselves, and all but the first of the links to one other file."""
    first: dict[tuple[int, int], str] = {}
    for path, entry in sorted(links.items()):
        try:
            status = entry.stat()
        except OSError:  # a link to nothing, which is a missing file
            continue
        own = next((one for one in inodes.get(status.st_ino, ()) if os.path.samestat(status, Path(one).stat())), None)
        target = own or first.setdefault((status.st_dev, status.st_ino), path)
        if target != path:
            found.links[Path(path)] = Path(target)
    if found.links:
        found.volumes = [path for path in found.volumes if path not in found.links]


def _leave_out_label_maps(found: Folder, labels: Iterable[Path]) -> None:
    """Leave out those of the folders called labels that lie beside one called images with a file for each of theirs."""
    stems: dict[Path, set[str]] = defaultdict(set)
    for path in found.volumes:
        stems[path.parent].add(stem_of(path).removesuffix(_CHANNEL))
    images: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for folder in stems:
        if match := _IMAGES.fullmatch(folder.name):
            images[folder.parent, match[1].lower()].append(folder)
    for folder in labels:
        match = _LABELS.fullmatch(folder.name)
        beside = images.get((folder.parent, match[1].lower()), ()) if match and folder in stems else ()
        if any(stems[folder] <= stems[one] for one in beside):
            found.label_maps.append(folder)
    if found.label_maps:
        left_out = set(found.label_maps)
        found.volumes = [path for path in found.volumes if path.parent not in left_out]
