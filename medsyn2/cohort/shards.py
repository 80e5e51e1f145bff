"""The cohort's cases and their shards, determined without opening a file.

Snakemake needs the shards when it parses the workflow, on every node of a cluster, so this module only places files.
A shard is a run of ``shard_size`` consecutive cases in the cohort's *order*. The order is append-only: a known case
keeps its place and id, new files follow, sorted by id, and a file that disappears leaves its place empty. So adding
cases touches only the last shard and new ones.

CT-RATE's ``train_1_a_1`` is in the training split, ``valid_1_a_1`` is held out. Of the subjects of other files
(``cohort/subjects.py``), every n-th in the order is.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medsyn2.cohort.folder import places_of
from medsyn2.cohort.selection import Order, Selection
from medsyn2.cohort.subjects import SubjectTable, subjects_by_name
from medsyn2.config import CohortConfig
from medsyn2.errors import ConfigError, IntegrityError, reason
from medsyn2.facts import SPARSE
from medsyn2.fingerprints import to_json
from medsyn2.vocabulary import CT_RATE_NAME, Split, volume_key

PATIENT = "patient-"
"""What the name of a subject starts with that is known by a DICOM patient's ID."""

_ORDER_SEAL = "#sha256\t"


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
    # How rows of tables name it, where several files have its name
    key: str | None = field(default=None, metadata=SPARSE)
    # Further reconstructions of the scan, to be read in their order if the file cannot be used
    later: tuple[str, ...] | None = field(default=None, metadata=SPARSE)


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


def append_to_order(order: Order, files: Mapping[str, Path], root: Path) -> dict[str, str]:
    """Update the places of known ids and append new ones, sorted."""
    found = places_of(files.values(), root)
    places = {case_id: found[path] for case_id, path in files.items()}
    return {**order, **dict(sorted(places.items()))}


def plan_cohort(
    selection: Selection,
    order: Order,
    cohort: CohortConfig,
    *,
    subjects: SubjectTable | None = None,
    keys: Mapping[str, str] | None = None,
    patients: Mapping[str, str] | None = None,
) -> Cohort:
    """Place every file in a shard.

    Args:
        order: All cases that ever had a place, including those of `selection`.
        subjects: The table of subjects.
        keys: Key of each file by its path, where it is not its name; see ``reports/names.py``.
        patients: Pseudonym of the patient of DICOM studies, those of earlier runs included, by place.

    Raises:
        ConfigError: If a subject would be in both splits.
    """
    shards: dict[str, list[Case]] = {}
    subject_rank: dict[str, int] = {}
    split_of: dict[str, Case] = {}
    patients = {place: f"{PATIENT}{patient}" for place, patient in (patients or {}).items()}
    named, table, keys = subjects_by_name(order), (subjects or SubjectTable()).of, keys or {}
    for position, (case_id, place) in enumerate(order.items()):
        path, name = selection.files.get(case_id), volume_key(place)
        key = keys.get(str(path), name)
        subject = table.get(key) or patients.get(place) or named[case_id]
        rank = subject_rank.setdefault(subject, len(subject_rank))
        if path is None:
            continue
        match = CT_RATE_NAME.match(name)
        held_out = match[1].lower() == "valid" if match else rank % cohort.test_every == cohort.test_every - 1
        later = tuple(str(other) for other in selection.later.get(case_id, ())) or None
        case = Case(
            case_id,
            str(path),
            subject,
            "test" if held_out else "train",
            position,
            key=key if key != name else None,
            later=later,
        )
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
    return json.dumps(to_json(list(cases)), separators=(",", ":"), sort_keys=True)
