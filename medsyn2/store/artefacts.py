"""The artefacts of a sharded stage on disk, and how they survive a kill.

A stage works on the cases of one shard and writes, below ``results/<stage>/``:

    <shard>/<case>/...      the artefacts of one case
    <shard>/<case>.json     the case's record: status, fingerprint, sha256 of each file, facts
    <shard>.json            the manifest: all records of the shard, written last; the file Snakemake tracks

A case's artefacts are written into a hidden folder beside their place and renamed into it, then the record is
written; so a record that exists speaks the truth, and half a case is done again. Records and manifests are sealed, and
readers compare each artefact with its sha256 (``medsyn2/integrity.py``). The *fingerprint* is a
hash of the stage's settings and code version and of everything the case is made from: a re-run skips every
case whose record carries the fingerprint it would get and whose files have the recorded sha256. Nothing in a
record or a manifest depends on when or where the run took place.

Case errors become records with the status ``quarantined``, which the next run keeps unless the error is one that
depends on the machine (`CaseError.retry`); any other error ends the shard, and the finished cases stay.
"""

import json
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter
from tqdm import tqdm

from medsyn2.errors import CaseError, IntegrityError, SystematicError, reason
from medsyn2.facts import SPARSE, Listed
from medsyn2.faults import fault_of
from medsyn2.files import lock, sha256_of, sync
from medsyn2.files import write_atomically as write_atomically
from medsyn2.files import write_text_atomically as write_text_atomically
from medsyn2.fingerprints import fingerprint, to_json
from medsyn2.integrity import is_unchanged, read_sealed, remedy_by_deleting, verify, write_sealed

log = logging.getLogger(__name__)

SYSTEMATIC_SHARE = 0.5
SYSTEMATIC_CASES = 20
_STRICT = ConfigDict(extra="forbid", strict=True)

Facts = TypeVar("Facts", covariant=True)


@dataclass(frozen=True)
class Problem:
    """Why a case was refused, and whether the next run tries it again."""

    code: str
    message: str
    remedy: str
    retry: bool = False


@dataclass(frozen=True)
class Record(Generic[Facts]):
    """The record of a case that a stage has done."""

    case: str  # The case's id
    fingerprint: str  # Hash of the settings and of everything the artefacts were made from
    files: dict[str, str]  # sha256 of each artefact, by its path relative to the shard's folder
    facts: Facts  # What later stages and the report need to know; see ``medsyn2/facts.py``
    problem: None = None
    status: Literal["ok"] = "ok"
    # Where the artefacts are; not part of the file
    folder: Path | None = field(default=None, metadata=SPARSE)
    __pydantic_config__: ClassVar = _STRICT

    @property
    def manifest(self) -> Path:
        """The manifest that holds this record."""
        assert self.folder is not None
        return self.folder.parent.with_suffix(".json")

    def place(self, name: str) -> Path:
        """Return where the artefact called `name` is; whoever reads it asks for `path`."""
        assert self.folder is not None
        return self.folder / name

    def sha256(self, name: str) -> str:
        """Return the recorded sha256 of the artefact called `name`.

        Raises:
            IntegrityError: If the case has none of this name.
        """
        found = self.files.get(f"{self.case}/{name}")
        if found is None:
            raise IntegrityError(
                f"{self.manifest} lists no file {name} of the case {self.case}.",
                code="artefact-damaged",
                remedy=remedy_by_deleting(self.manifest),
            )
        return found

    def path(self, name: str) -> Path:
        """Return the path of the artefact called `name`, whose bytes are those that were written.

        Raises:
            IntegrityError: If they are not, or the case has no such artefact.
        """
        return verify(self.place(name), self.sha256(name), self.manifest)


@dataclass(frozen=True)
class Refusal:
    """The record of a case that a stage has put into quarantine, with the cohort's entry of it if that is known."""

    case: str
    fingerprint: str
    problem: Problem
    facts: Listed = field(default_factory=Listed)
    files: dict[str, str] = field(default_factory=dict)
    status: Literal["quarantined"] = "quarantined"
    __pydantic_config__: ClassVar = _STRICT


@dataclass(frozen=True)
class _Shard(Generic[Facts]):
    """A manifest as it is on disk."""

    stage: str
    cases: list[Annotated[Record[Facts] | Refusal, Field(discriminator="status")]]
    __pydantic_config__: ClassVar = _STRICT


@dataclass(frozen=True)
class Manifest(Generic[Facts]):
    """The records of one shard of one stage, in the shard's order, and where its artefacts are."""

    stage: str
    folder: Path
    cases: dict[str, Record[Facts] | Refusal]

    @cached_property
    def records(self) -> dict[str, Record[Facts]]:
        """The records of the cases that are not quarantined."""
        return {
            case: replace(record, folder=self.folder / case)
            for case, record in self.cases.items()
            if isinstance(record, Record)
        }

    def path(self, case: str, name: str) -> Path:
        """Return the path of the artefact called `name` of `case`, as `Record.path` does."""
        return self.records[case].path(name)

    @property
    def digests(self) -> dict[Path, str]:
        """The recorded sha256 of each artefact."""
        return {self.folder / name: sha256 for record in self.cases.values() for name, sha256 in record.files.items()}

    @cached_property
    def refused(self) -> dict[str, Refusal]:
        """The quarantined cases."""
        return {case: record for case, record in self.cases.items() if isinstance(record, Refusal)}


@cache
def _shards(facts: type[Facts]) -> TypeAdapter[_Shard[Facts]]:
    return TypeAdapter(_Shard[facts])  # type: ignore[valid-type]


def _read_cases(values: Mapping[str, Any], facts: type[Facts]) -> tuple[str, list[Record[Facts] | Refusal]]:
    shard = _shards(facts).validate_json(json.dumps(values))  # type: ignore[arg-type]
    return shard.stage, shard.cases


def read_record(path: Path, facts: type[Facts]) -> Record[Facts] | Refusal | None:
    """Return the record at `path`, or None if there is none that can be read."""
    try:
        return _read_cases({"stage": "", "cases": [read_sealed(path)]}, facts)[1][0]
    except (OSError, ValueError, IndexError):
        return None


def load_manifest(path: Path, facts: type[Facts]) -> Manifest[Facts]:
    """Read a shard's manifest, whose records hold such facts.

    Raises:
        IntegrityError: If the file is missing, is no manifest, was changed, or has keys or values that are not of
            `facts`.
    """
    try:
        stage, records = _read_cases(read_sealed(path), facts)
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{path} is not a manifest with {facts.__name__}: {reason(error)}.",
            code="manifest-unreadable",
            remedy=f"`rm {path}` and run the workflow again; finished cases are not done again.",
        ) from error
    return Manifest(stage, path.with_suffix(""), {record.case: record for record in records})


def load_manifests(paths: Sequence[Path], facts: type[Facts]) -> list[Manifest[Facts]]:
    """Read several shards' manifests, in the given order."""
    return [load_manifest(path, facts) for path in paths]


def records_of(manifests: Iterable[Manifest[Facts]]) -> dict[str, Record[Facts]]:
    """Return the records of the cases of several shards that are not quarantined, by case, in the shards' order."""
    return {case: record for manifest in manifests for case, record in manifest.records.items()}


def load_records(paths: Iterable[Path], facts: type[Facts]) -> dict[str, Record[Facts]]:
    """Read the records of the cases of several shards, as `records_of` returns them."""
    return records_of(load_manifest(path, facts) for path in paths)


@dataclass(frozen=True)
class CaseWork:
    """One case to do."""

    case: str  # The case's id
    # JSON values and dataclasses that, with the settings, decide the artefacts; for example the ``files`` and
    # ``facts`` of the records they are made from
    made_from: Any
    # The cohort's entry of the case, which its record has even if the case is refused
    known: Listed = field(default_factory=Listed)


Work = Callable[[CaseWork, Path], Facts]
"""Makes one case's artefacts inside the given empty folder and returns the record's facts."""


def process_shard(
    stage: str, manifest: Path, cases: Sequence[CaseWork], work: Work[Facts], *, settings: str, facts: type[Facts]
) -> Manifest[Facts]:
    """Do every case of a shard that is not done, then write and return the shard's manifest.

    Args:
        manifest: Where the manifest goes; the artefacts go into the folder of the same name.
        settings: Canonical JSON of the settings and the code version, part of every fingerprint.
        facts: The class of the facts that `work` returns; a record with others is done again.

    Raises:
        SystematicError: If too many cases fail with one code.
    """
    folder = manifest.with_suffix("")
    with lock(manifest):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_partial(folder)
        records: list[Record[Facts] | Refusal] = []
        for case in tqdm(cases, desc=f"{stage} {manifest.stem}", unit="case", mininterval=5, file=sys.stderr):
            expected = fingerprint(stage, settings, case.made_from)
            record = read_record(folder / f"{case.case}.json", facts)
            if record is None or record.fingerprint != expected or not _is_intact(folder, record):
                record = _process_case(stage, folder, case, work, expected, facts)
            records.append(record)
            _stop_if_systematic(stage, records)
        write_sealed(manifest, _Shard(stage, records))
    return Manifest(stage, folder, {record.case: record for record in records})


def _process_case(
    stage: str, folder: Path, case: CaseWork, work: Work[Facts], expected: str, facts: type[Facts]
) -> Record[Facts] | Refusal:
    record_path = folder / f"{case.case}.json"
    record_path.unlink(missing_ok=True)
    partial = folder / f".{case.case}.partial"
    partial.mkdir()
    record: Record[Facts] | Refusal
    try:
        found = work(case, partial)
        record = Record(case.case, expected, _commit(partial, folder / case.case, folder), found)
    except CaseError as error:
        shutil.rmtree(folder / case.case, ignore_errors=True)
        problem = Problem(error.code, error.message, error.remedy, error.retry)
        record = Refusal(case.case, expected, problem, case.known)
        log.warning("%s: case %s goes to quarantine: %s", stage, case.case, error)
    except Exception as error:
        if fault := fault_of(error, folder / case.case):
            raise fault from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    # Read back the facts: those that could not be read later are an error of this stage, now.
    record = _read_cases(to_json(_Shard(stage, [record])), facts)[1][0]
    write_sealed(record_path, record)
    return record


def _commit(partial: Path, place: Path, folder: Path) -> dict[str, str]:
    files = sorted(path for path in partial.rglob("*") if path.is_file())
    hashes = {f"{place.relative_to(folder)}/{path.relative_to(partial)}": sha256_of(path) for path in files}
    for path in files:
        sync(path)
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)
    sync(folder)
    return hashes


def _is_intact(folder: Path, record: Record[Facts] | Refusal) -> bool:
    if isinstance(record, Refusal):
        return not record.problem.retry
    # Hashing takes 16 ms for a volume of 25 MB, so a file that was cut or changed is found by running the stage again.
    return all(is_unchanged(folder / name, expected) for name, expected in record.files.items())


def _remove_partial(folder: Path) -> None:
    for leftover in folder.glob(".*.partial*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _stop_if_systematic(stage: str, records: Sequence[Record[Facts] | Refusal]) -> None:
    """Stop where most cases of a shard fail alike: a wrong set-up, which scattered bad files never look like."""
    if len(records) < SYSTEMATIC_CASES:
        return
    problems = [record.problem for record in records if record.problem]
    codes = Counter(problem.code for problem in problems)
    remedies = {problem.code: problem.remedy for problem in problems}
    for code, count in codes.items():
        if count >= SYSTEMATIC_SHARE * len(records):
            raise SystematicError(
                f"{stage}: {count} of {len(records)} cases fail with {code}.",
                code="systematic-failure",
                remedy="the set-up is probably wrong, not the cases; look at one of them. "
                f"Its own remedy: {remedies[code]} If the files are bad indeed, this stage's log names them: list them "
                "in cohort.exclude_txt and run again.",
            )
