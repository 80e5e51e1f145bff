"""The files of the cohort: those of its folder that are left after exclusions and the choice of reconstructions.

Files are excluded by name; a name that several files have needs the folder with it, or takes them all. Two files of one
CT-RATE name, and two of one folder whose names differ in the suffix alone, stop the run: they are the same scan twice,
or no row of a table is certain of which it is.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medsyn2.cohort.folder import Folder, is_synthetic, list_folder, places_of, same_stems, stem_of
from medsyn2.cohort.studies import Studies
from medsyn2.config import CohortConfig
from medsyn2.dicom.identity import Identity
from medsyn2.errors import ConfigError, list_names
from medsyn2.reports.names import VolumeNames, shortest_keys
from medsyn2.vocabulary import CT_RATE_NAME, VOLUME_SUFFIXES, volume_path

RESULTS = Path("results")
Order = Mapping[str, str]
"""File of each case id that has a place, relative to the cohort's folder, in order."""

_SAFE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")


@dataclass(frozen=True)
class Selection:
    """The files of a cohort, by the id of their case."""

    files: dict[str, Path]
    # Further reconstructions of the same scan, which are read if the file is damaged
    later: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # For the user: the files that were left out
    studies: Studies = field(default_factory=Studies)  # The DICOM studies among the files

    def keys(self, root: Path) -> dict[str, str]:
        """Return the key by which tables name each file, the further reconstructions included, by its path."""
        paths = [*self.files.values(), *(path for paths in self.later.values() for path in paths)]
        return shortest_keys({str(path): place for path, place in places_of(paths, root).items()})


def cohort_folder(cohort: CohortConfig, phantom_dir: Path) -> Path:
    """Return the folder of the cohort's files."""
    return phantom_dir if cohort.data_dir is None else cohort.data_dir


def select_files(
    cohort: CohortConfig, phantom_dir: Path, order: Order, known: Mapping[str, Identity] | None = None
) -> Selection:
    """Select the cohort's files of the data folder, or phantoms to be written.

    Args:
        known: Patient and study of folders of DICOM slices that earlier runs looked into.

    Raises:
        ConfigError: If the data folder holds nothing usable, a list of exclusions is of other files, or files cannot
            be told apart.
    """
    if cohort.data_dir is None:
        size, names = cohort.shard_size, (f"phantom_{index:05d}" for index in range(cohort.num_phantoms))
        files = {
            case_id: phantom_dir / f"{index // size:04d}" / case_id / f"{case_id}.nii.gz"
            for index, case_id in enumerate(names)
        }
        return Selection(files)
    found = list_cohort(cohort.data_dir, cohort.exclude_dirs, known)
    volumes, synthetic = _without_synthetic(found, order)
    ids = case_ids(volumes, cohort.data_dir, order)
    excluded, note = _find_exclusions(cohort, ids)
    kept = {case_id: path for case_id, path in ids.items() if case_id not in excluded}
    if not kept:
        raise ConfigError(
            f"cohort.data_dir is {cohort.data_dir}, and all {len(found.volumes)} of its volumes are left out: "
            f"{len(excluded)} by cohort.exclude_txt, {len(synthetic)} as synthetic volumes.",
            code="cohort-empty",
            remedy="correct cohort.exclude_txt; where CTs and label maps have the same names, leave out the folder of "
            "the label maps by cohort.exclude_dirs and not their names.",
        )
    _check_names(kept.values())
    later: dict[str, tuple[Path, ...]] = {}
    if cohort.reconstruction == "first":
        kept, later = first_reconstructions(kept)
    later |= {case: found.studies.later[path] for case, path in kept.items() if path in found.studies.later}
    left_out = list_names("synthetic volumes, which are never a cohort", [str(path) for path in synthetic])
    notes = (*found.notes(), *(f"left out: {text}" for text in left_out), *note)
    return Selection(kept, later, notes, found.studies)


def list_cohort(folder: Path, exclude_dirs: Sequence[str], known: Mapping[str, Identity] | None = None) -> Folder:
    """List a cohort's folder.

    Raises:
        ConfigError: If there is none, it holds no volume, or it is one of this run's results.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"cohort.data_dir is {folder}, which is no folder.",
            code="data-dir-missing",
            remedy="give the folder that holds the CTs, or leave it empty for the phantoms.",
        )
    if RESULTS.exists() and folder.resolve().is_relative_to(RESULTS.resolve()):
        raise ConfigError(
            f"cohort.data_dir is {folder}, which lies in the results of this run.",
            code="data-dir-is-results",
            remedy="give the folder of the CTs themselves; to use the phantoms as files, copy them out of results.",
        )
    found = list_folder(folder, exclude_dirs, known)
    if not found.volumes:
        without = f", outside the folders {list(exclude_dirs)} of cohort.exclude_dirs" if exclude_dirs else ""
        seen = "".join(f"; {note}" for note in found.notes())
        raise ConfigError(
            f"cohort.data_dir is {folder}, which holds no CT{without}{seen}.",
            code="data-dir-empty",
            remedy=f"give a folder with volumes ({', '.join(VOLUME_SUFFIXES)}) or with folders or archives of DICOM.",
        )
    return found


def _without_synthetic(found: Folder, order: Order) -> tuple[list[Path], list[Path]]:
    """Return the volumes, and those that their sidecars call synthetic; cases that have a place were asked before."""
    known = {found.path / place for place in order.values()} if found.described else set()
    synthetic = [path for path in sorted(found.described - known) if is_synthetic(path)]
    return [path for path in found.volumes if path not in set(synthetic)], synthetic


def case_ids(paths: Sequence[Path], root: Path, order: Order) -> dict[str, Path]:
    """Give each file its earlier id, else its stem if safe and unique, else that with a hash of its path."""
    places = {place: path for path, place in places_of(paths, root).items()}
    had = {place: case_id for case_id, place in order.items() if place in places}
    stems = {place: stem_of(path) for place, path in places.items() if place not in had}
    claims = Counter([stem.lower() for stem in stems.values()] + [case_id.lower() for case_id in had.values()])
    ids: dict[str, Path] = {}
    for place, path in places.items():
        case_id = had.get(place) or stems[place]
        if place not in had and not (_SAFE_ID.match(case_id) and claims[case_id.lower()] == 1):
            digest = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()
            safe = re.sub(r"[^A-Za-z0-9._-]", "_", case_id).lstrip("._-")[:60] or "case"
            case_id = f"{safe}-{digest[:8]}"
        ids[case_id] = path
    return ids


def _find_exclusions(cohort: CohortConfig, ids: Mapping[str, Path]) -> tuple[set[str], tuple[str, ...]]:
    """Return the excluded cases, and a note on lines that are of no file.

    Raises:
        ConfigError: If no line is of a file; CT-RATE's lists may be, which are of more scans than most have.
    """
    lines = read_exclusions(cohort.exclude_txt)
    if not lines or cohort.data_dir is None:
        return set(), ()
    root = cohort.data_dir
    places = places_of(ids.values(), root)
    keys = shortest_keys({case_id: places[path] for case_id, path in ids.items()})
    names, cases, alike = VolumeNames(keys.values()), defaultdict(list), defaultdict(list)
    for case_id, key in keys.items():
        cases[key].append(case_id)
        alike[volume_path(key)[-1]].append(case_id)
    excluded: set[str] = set()
    astray = []
    for line in lines:
        known, path = names.find(line), volume_path(line)
        found = cases[known] if known is not None else alike[path[-1]] if len(path) == 1 else []
        excluded.update(found)
        astray += [] if found else [line]
    if len(astray) == len(lines) and not all(CT_RATE_NAME.match(volume_path(line)[-1]) for line in lines):
        raise ConfigError(
            f"cohort.exclude_txt has {len(lines)} lines, and none names a file of {root}: the first is {lines[0]!r}, a "
            f"file is called {min(ids.values()).name!r}.",
            code="exclude-unmatched",
            remedy="write a file name, or a path below the folder, on each line, or leave it empty.",
        )
    return excluded, tuple(f"cohort.exclude_txt: {text}" for text in list_names("lines name no file", astray))


def read_exclusions(paths: Iterable[Path]) -> list[str]:
    """Read the names or paths of excluded volumes.

    Raises:
        ConfigError: If a file cannot be read as text.
    """
    lines: list[str] = []
    for path in paths:
        try:
            lines += path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cohort.exclude_txt names {path}, which cannot be read as text: {error}.",
                code="exclude-unreadable",
                remedy="give text files in UTF-8 with a file name on each line, or leave it empty.",
            ) from error
    return [line for line in lines if line.strip() and not line.startswith("#")]


def first_reconstructions(files: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, tuple[Path, ...]]]:
    """Keep the lowest reconstruction of each CT-RATE scan, and all files with other names; return the others too."""
    scans: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for case_id, path in files.items():
        match = CT_RATE_NAME.match(stem_of(path))
        scan, number = (match[0].rsplit("_", 1)[0].lower(), int(match[4])) if match else (case_id, 0)
        scans[scan].append((number, case_id))
    ranked = [sorted(found) for found in scans.values()]
    kept = {found[0][1]: files[found[0][1]] for found in ranked}
    return kept, {found[0][1]: tuple(files[case] for _, case in found[1:]) for found in ranked if found[1:]}


def _check_names(paths: Iterable[Path]) -> None:
    paths = list(paths)
    if pairs := same_stems(paths):
        shown = list_names("pairs of files", [f"{one} and {other.name}" for one, other in pairs])[0]
        raise ConfigError(
            f"{shown} have one name; expected one file of each.",
            code="volume-name-twice",
            remedy="keep one file of each pair; a table could not tell them apart.",
        )
    found: dict[str, Path] = {}
    for path in paths:
        name = stem_of(path).lower()
        if found.setdefault(name, path) is not path and CT_RATE_NAME.match(name):
            raise ConfigError(
                f"{found[name]} and {path} are both CT-RATE's volume {name}; expected one file of each.",
                code="ct-rate-name-twice",
                remedy="name the folder that is to be left out in cohort.exclude_dirs: train and valid where there "
                "are train_fixed and valid_fixed, ts_seg for the masks.",
            )
