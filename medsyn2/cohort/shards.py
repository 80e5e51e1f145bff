"""Which files are the cohort, and which shard each belongs to, decided without opening one of them.

Snakemake needs the shards when it parses the workflow, on every node of a cluster, so this module uses the
standard library alone and only lists folders. A shard is a run of ``shard_size`` consecutive cases in the
cohort's *order*. The order is append-only: what has a place keeps it, new files come after, sorted by id, and
a file that disappeared leaves its place empty. So adding cases touches the last shard and new ones only.

Subjects and splits follow from names alone too: CT-RATE's ``train_1_a_1`` is reconstruction 1 of scan a of
subject ``train_1`` of the training split. Other files are a subject each, and every n-th subject of the order
is held out.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from medsyn2.config import CohortConfig
from medsyn2.errors import ConfigError
from medsyn2.vocabulary import CT_RATE_NAME, Split

_SAFE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
_SUFFIXES = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Case:
    """One CT file of the cohort.

    Attributes:
        id: Safe in paths and commands, unique whatever the case of its letters.
        path: The file. Of a phantom, where it will be.
        subject: The patient; a split never divides one.
        split: Training or test.
        position: Place in the cohort's order.
    """

    id: str
    path: str
    subject: str
    split: Split
    position: int


@dataclass(frozen=True)
class Cohort:
    """The cases, shard by shard."""

    shards: dict[str, tuple[Case, ...]]

    def shards_with(self, split: Split) -> list[str]:
        """Return the names of the shards that hold at least one case of `split`."""
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


def phantom_ids(config: CohortConfig) -> list[str]:
    """Return the ids of the phantoms, in order."""
    return [f"phantom_{index:05d}" for index in range(config.num_phantoms)]


def list_nifti(folder: Path) -> list[Path]:
    """Return every NIfTI file under `folder`, links followed, sorted.

    Raises:
        ConfigError: If the folder does not exist or holds none.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"cohort.data_dir is {folder}, which is no folder.",
            code="data-dir-missing",
            remedy="give the folder that holds the NIfTI files, or leave it empty for the phantoms.",
        )
    found = [
        Path(root, name)
        for root, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(_SUFFIXES) and not name.startswith(".")
    ]
    if not found:
        raise ConfigError(
            f"cohort.data_dir is {folder}, which holds no .nii or .nii.gz file.",
            code="data-dir-empty",
            remedy="give a folder with NIfTI files; DICOM series are converted first, for example with dcm2niix.",
        )
    return sorted(found)


def stem_of(path: Path) -> str:
    """Return the file's name without its NIfTI suffix."""
    lowered = path.name.lower()
    for suffix in _SUFFIXES:
        if lowered.endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def case_ids(paths: Sequence[Path], root: Path) -> dict[str, Path]:
    """Give each file an id: its stem where that is safe and unique, else the stem with a hash of its path."""
    stems = [stem_of(path) for path in paths]
    lowered = [stem.lower() for stem in stems]
    counts = {stem: lowered.count(stem) for stem in set(lowered)} if len(set(lowered)) < len(lowered) else {}
    ids: dict[str, Path] = {}
    for path, stem in zip(paths, stems, strict=True):
        if _SAFE_ID.match(stem) and counts.get(stem.lower(), 1) == 1:
            ids[stem] = path
            continue
        digest = hashlib.sha256(
            path.relative_to(root).as_posix().encode("utf-8", "surrogateescape")
        ).hexdigest()
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", stem).lstrip("._-")[:60] or "case"
        ids[f"{safe}-{digest[:8]}"] = path
    return ids


def excluded_names(path: Path | None) -> set[str]:
    """Read the stems of files to leave out; lines may be names or paths."""
    if path is None:
        return set()
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return {stem_of(Path(line.strip())) for line in lines if line.strip() and not line.startswith("#")}


def first_reconstructions(ids: Iterable[str]) -> list[str]:
    """Keep the lowest reconstruction of each CT-RATE scan, and every file that is not named so."""
    best: dict[str, tuple[int, str]] = {}
    for case_id in ids:
        match = CT_RATE_NAME.match(case_id)
        scan, number = (case_id.rsplit("_", 1)[0], int(match[4])) if match else (case_id, 0)
        if scan not in best or number < best[scan][0]:
            best[scan] = (number, case_id)
    return [case_id for _, case_id in best.values()]


def _subject(case_id: str) -> str:
    match = CT_RATE_NAME.match(case_id)
    return f"{match[1]}_{match[2]}" if match else case_id


def append_to_order(order: Sequence[str], ids: Iterable[str]) -> list[str]:
    """Return `order` with the ids it lacks after it, sorted."""
    known = set(order)
    return [*order, *sorted(set(ids) - known)]


def cohort_files(cohort: CohortConfig, phantom_dir: Path) -> dict[str, Path]:
    """Return the file of each case id, for the phantoms (in the folders they will be written to) or the data folder."""
    if cohort.data_dir is None:
        size = cohort.shard_size
        return {
            case_id: phantom_dir / f"{index // size:04d}" / case_id / f"{case_id}.nii.gz"
            for index, case_id in enumerate(phantom_ids(cohort))
        }
    ids = case_ids(list_nifti(cohort.data_dir), cohort.data_dir)
    excluded = excluded_names(cohort.exclude_txt)
    kept = [case_id for case_id, path in ids.items() if stem_of(path) not in excluded]
    if cohort.reconstruction == "first":
        kept = first_reconstructions(kept)
    return {case_id: ids[case_id] for case_id in kept}


def plan_cohort(files: dict[str, Path], order: Sequence[str], cohort: CohortConfig) -> Cohort:
    """Place every file in a shard.

    Args:
        files: File of each case id.
        order: Ids placed by earlier runs, in their order.
        cohort: Shard size and the rule for splits.
    """
    shards: dict[str, list[Case]] = {}
    subject_rank: dict[str, int] = {}
    for position, case_id in enumerate(append_to_order(order, files)):
        subject = _subject(case_id)
        rank = subject_rank.setdefault(subject, len(subject_rank))
        if case_id not in files:
            continue
        match = CT_RATE_NAME.match(case_id)
        held_out = match[1] == "valid" if match else rank % cohort.test_every == cohort.test_every - 1
        case = Case(case_id, str(files[case_id]), subject, "test" if held_out else "train", position)
        shards.setdefault(f"{position // cohort.shard_size:04d}", []).append(case)
    return Cohort({name: tuple(cases) for name, cases in shards.items()})


def read_order(path: Path) -> list[str]:
    """Return the ids placed by earlier runs, or none if there was no run."""
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def case_json(cases: Iterable[Case]) -> str:
    """Return cases as the JSON that the workflow passes to the first stages."""
    return json.dumps([asdict(case) for case in cases], separators=(",", ":"), sort_keys=True)
