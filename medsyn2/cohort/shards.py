"""The cohort's files and their shards, determined without opening a file.

Snakemake needs the shards when it parses the workflow, on every node of a cluster, so this module only lists folders.
A shard is a run of ``shard_size`` consecutive cases in the cohort's *order*. The order is append-only: a known case
keeps its place and id, new files follow, sorted by id, and a file that disappears leaves its place empty. So adding
cases touches only the last shard and new ones.

Subjects and splits follow from file names: CT-RATE's ``train_1_a_1`` is reconstruction 1 of scan a of subject
``train_1`` in the training split. Other files get their subject from the table of subjects, or are a subject each;
every n-th subject in the order is held out.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from medsyn2.config import CohortConfig
from medsyn2.errors import ConfigError, IntegrityError, reason
from medsyn2.vocabulary import CT_RATE_NAME, Split, volume_key

_SAFE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
_SUFFIXES = (".nii.gz", ".nii")

_ORDER_SEAL = "#sha256\t"

Order = Mapping[str, str]
"""File of each case id that has a place, relative to the cohort's folder, in order."""


@dataclass(frozen=True)
class Case:
    """One CT file of the cohort."""

    id: str  # Identifier, safe in paths and commands, unique regardless of letter case
    path: str  # The file; a phantom's may not exist yet
    subject: str  # The patient; all scans of one are in the same split
    split: Split  # Training or test
    position: int  # Place in the cohort's order
    # An earlier case's file that seems to hold the same bytes, see `file_state.mark_repeats`
    same_as: str | None = None


@dataclass(frozen=True)
class Cohort:
    """The cases by shard."""

    shards: dict[str, tuple[Case, ...]]

    def shards_with(self, split: Split) -> list[str]:
        """Return the names of the shards with at least one case of `split`."""
        return [name for name, cases in self.shards.items() if any(case.split == split for case in cases)]

    def first_training_shards(self, num_cases: int) -> list[str]:
        """Return the names of the first shards that together hold `num_cases` training cases."""
        chosen: list[str] = []
        for name, cases in self.shards.items():
            if num_cases <= 0:
                break
            chosen.append(name)
            num_cases -= sum(case.split == "train" for case in cases)
        return chosen

    def require(self, split: Split, num_cases: int) -> None:
        """Check, before hours of work, that `split` has at least `num_cases` cases."""
        cases = [case for shard in self.shards.values() for case in shard]
        found = sum(case.split == split for case in cases)
        if found < num_cases:
            change = "raise" if split == "train" else "lower"
            raise ConfigError(
                f"expected at least {num_cases} cases in the {split} split, got {found} of {len(cases)} cases.",
                code="split-too-small",
                remedy=f"{change} cohort.test_every or add cases. To prepare the cases only, ask for their files, for "
                "example results/masks/0000.json.",
            )


def list_nifti(folder: Path, exclude_dirs: Collection[str] = ()) -> list[Path]:
    """Return all NIfTI files under `folder`, sorted; links are followed.

    Raises:
        ConfigError: If the folder does not exist or holds none.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"cohort.data_dir is {folder}, which is no folder.",
            code="data-dir-missing",
            remedy="give the folder that holds the NIfTI files, or leave it empty for the phantoms.",
        )
    found = [path for path in _walk(folder, exclude_dirs) if path.name.lower().endswith(_SUFFIXES)]
    if not found:
        left_out = f", outside the folders {list(exclude_dirs)} of cohort.exclude_dirs" if exclude_dirs else ""
        raise ConfigError(
            f"cohort.data_dir is {folder}, which holds no .nii or .nii.gz file{left_out}.",
            code="data-dir-empty",
            remedy="give a folder with NIfTI files; DICOM series are converted first, for example with dcm2niix.",
        )
    return sorted(found)


def other_suffixes(folder: Path, exclude_dirs: Collection[str] = ()) -> dict[str, int]:
    """Count the files under `folder` that are no NIfTI, by suffix, most frequent first."""
    others = (path for path in _walk(folder, exclude_dirs) if not path.name.lower().endswith(_SUFFIXES))
    return dict(Counter(path.suffix.lower() or "no suffix" for path in others).most_common())


def _walk(folder: Path, exclude_dirs: Collection[str]) -> Iterator[Path]:
    """Yield all files that are not hidden, visiting each folder once; linked folders come last."""
    seen: set[tuple[int, int]] = set()
    starts = [folder]
    while starts:
        links: list[Path] = []
        for start in starts:
            for root, folders, names in os.walk(start):
                here = Path(root)
                status = here.stat()
                if (status.st_dev, status.st_ino) in seen:
                    folders.clear()
                    continue
                seen.add((status.st_dev, status.st_ino))
                folders[:] = sorted(name for name in folders if name not in exclude_dirs)
                links += [path for name in folders if (path := here / name).is_symlink()]
                yield from (here / name for name in names if not name.startswith("."))
        starts = links


def stem_of(path: Path) -> str:
    """Return a file's name without its NIfTI suffix."""
    lowered = path.name.lower()
    for suffix in _SUFFIXES:
        if lowered.endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def case_ids(paths: Sequence[Path], root: Path, order: Order) -> dict[str, Path]:
    """Give each file its earlier id, else its stem if safe and unique, else that with a hash of its path."""
    places = {path.relative_to(root).as_posix(): path for path in paths}
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


def read_exclusions(paths: Iterable[Path]) -> set[str]:
    """Read the keys of excluded volumes; lines are names or paths.

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
    return {volume_key(line) for line in lines if line.strip() and not line.startswith("#")}


def first_reconstructions(files: Mapping[str, Path]) -> dict[str, Path]:
    """Keep the lowest reconstruction of each CT-RATE scan, and all files with other names."""
    best: dict[str, tuple[int, str]] = {}
    for case_id, path in files.items():
        match = CT_RATE_NAME.match(stem_of(path))
        scan, number = (match[0].rsplit("_", 1)[0], int(match[4])) if match else (case_id, 0)
        if scan not in best or number < best[scan][0]:
            best[scan] = (number, case_id)
    return {case_id: files[case_id] for _, case_id in best.values()}


def _check_names(paths: Iterable[Path]) -> None:
    found: dict[str, Path] = {}
    for path in paths:
        name = stem_of(path)
        if found.setdefault(name, path) is not path and CT_RATE_NAME.match(name):
            raise ConfigError(
                f"{found[name]} and {path} are both CT-RATE's volume {name}; expected one file of each.",
                code="ct-rate-name-twice",
                remedy="name the folder that is to be left out in cohort.exclude_dirs: train and valid where there "
                "are train_fixed and valid_fixed, ts_seg for the masks.",
            )


def append_to_order(order: Order, files: Mapping[str, Path], root: Path) -> dict[str, str]:
    """Update the places of known ids and append new ones, sorted."""
    places = {case_id: path.relative_to(root).as_posix() for case_id, path in files.items()}
    return {**order, **dict(sorted(places.items()))}


def cohort_folder(cohort: CohortConfig, phantom_dir: Path) -> Path:
    """Return the folder of the cohort's files."""
    return phantom_dir if cohort.data_dir is None else cohort.data_dir


def cohort_files(cohort: CohortConfig, phantom_dir: Path, order: Order) -> dict[str, Path]:
    """Return the file of each case id, of the data folder or of phantoms to be written.

    Raises:
        ConfigError: If the data folder holds nothing usable, or two files of one CT-RATE name.
    """
    if cohort.data_dir is None:
        size, names = cohort.shard_size, (f"phantom_{index:05d}" for index in range(cohort.num_phantoms))
        return {
            case_id: phantom_dir / f"{index // size:04d}" / case_id / f"{case_id}.nii.gz"
            for index, case_id in enumerate(names)
        }
    found = list_nifti(cohort.data_dir, cohort.exclude_dirs)
    excluded = read_exclusions(cohort.exclude_txt)
    ids = case_ids(found, cohort.data_dir, order)
    kept = {case_id: path for case_id, path in ids.items() if volume_key(path.name) not in excluded}
    _check_names(kept.values())
    return first_reconstructions(kept) if cohort.reconstruction == "first" else kept


def plan_cohort(files: Mapping[str, Path], order: Order, cohort: CohortConfig, subjects: Mapping[str, str]) -> Cohort:
    """Place every file in a shard.

    Args:
        order: All cases that ever had a place, including those of `files`.
        subjects: Subject of each file in the table of subjects, see `plan.read_subjects`.

    Raises:
        ConfigError: If a subject would be in both splits.
    """
    shards: dict[str, list[Case]] = {}
    subject_rank: dict[str, int] = {}
    split_of: dict[str, Case] = {}
    for position, (case_id, place) in enumerate(order.items()):
        name = stem_of(Path(place))
        match = CT_RATE_NAME.match(name)
        subject = subjects.get(volume_key(name)) or (f"{match[1]}_{match[2]}" if match else case_id)
        rank = subject_rank.setdefault(subject, len(subject_rank))
        if case_id not in files:
            continue
        held_out = match[1] == "valid" if match else rank % cohort.test_every == cohort.test_every - 1
        case = Case(case_id, str(files[case_id]), subject, "test" if held_out else "train", position)
        _check_split(split_of.setdefault(subject, case), case)
        shards.setdefault(f"{position // cohort.shard_size:04d}", []).append(case)
    return Cohort({name: tuple(cases) for name, cases in shards.items()})


def _check_split(first: Case, case: Case) -> None:
    if case.split != first.split:
        raise ConfigError(
            f"the subject {case.subject} has {first.path} in the {first.split} split and {case.path} in the "
            f"{case.split} split; expected all scans of a subject in one.",
            code="subject-divided",
            remedy="correct cohort.subjects_csv, or name the scans of one split in cohort.exclude_txt.",
        )


def read_order(path: Path) -> dict[str, str]:
    """Read the order of earlier runs; empty if there is none.

    Raises:
        IntegrityError: If it was changed: cases would move to other shards, and patients to the other split.
    """
    text = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
    cases, mark, digest = text.rpartition(_ORDER_SEAL)
    try:
        if mark and digest.strip() != hashlib.sha256(cases.encode()).hexdigest():
            raise ValueError("its content does not match its checksum")
        lines = (line.partition("\t") for line in (cases if mark else text).split("\n")[:-1])
        return {case_id: place and json.loads(place) for case_id, _, place in lines}
    except ValueError as error:
        raise IntegrityError(
            f"{path}, which keeps the place of each case, was damaged or edited after it was written: {reason(error)}.",
            code="order-damaged",
            remedy=f"put the file back; or `rm {path}` and run the workflow again: known cases get the places that a "
            "new cohort gives them, and shards that come out otherwise are made again.",
        ) from error


def order_text(order: Order) -> str:
    """Format an order for `read_order`: a line per case with its id and its file as a JSON string, and a checksum."""
    cases = "".join(f"{case_id}\t{json.dumps(place)}\n" for case_id, place in order.items())
    return f"{cases}{_ORDER_SEAL}{hashlib.sha256(cases.encode()).hexdigest()}\n"


def case_json(cases: Iterable[Case]) -> str:
    """Format cases as the JSON that the workflow passes to the first stages."""
    return json.dumps([asdict(case) for case in cases], separators=(",", ":"), sort_keys=True)
