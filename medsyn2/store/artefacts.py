"""What a sharded stage leaves on disk, and how it survives being killed.

A stage works on the cases of one shard and writes, below ``results/<stage>/``:

    <shard>/<case>/...      the artefacts of one case
    <shard>/<case>.json     the case's record: status, fingerprint, sha256 of each file, facts
    <shard>.json            the manifest: all records of the shard, written last; the file Snakemake tracks

A case's artefacts are written into a hidden folder beside their place and renamed into it, then the record is
written; so a record that exists speaks the truth, and what is half done is done again. The *fingerprint* is a
hash of the stage's settings and code version and of everything the case is made from: a re-run skips every
case whose record carries the fingerprint it would get and whose files have the recorded sha256. Nothing in a
record or a manifest depends on when or where the run took place.

Case errors become records with the status ``quarantined``, which the next run keeps unless the error is one that
depends on the machine (`CaseError.retry`); any other error ends the shard, and the finished cases stay.
"""

import hashlib
import json
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from medsyn2.errors import CaseError, EnvironmentFault, IntegrityError, SystematicError, reason
from medsyn2.files import locked, sha256_of, sync, write_json
from medsyn2.files import write_atomically as write_atomically
from medsyn2.files import write_text_atomically as write_text_atomically

log = logging.getLogger(__name__)

SYSTEMATIC_SHARE = 0.5
SYSTEMATIC_CASES = 20


@dataclass(frozen=True)
class Problem:
    """Why a case was refused, and whether the next run tries it again."""

    code: str
    message: str
    remedy: str
    retry: bool = False


@dataclass(frozen=True)
class Record:
    """What a stage did with one case.

    Attributes:
        case: The case's id.
        status: ``ok``, or ``quarantined`` with `problem` saying why.
        fingerprint: Hash of the settings and of everything the artefacts were made from.
        files: sha256 of each artefact, by its path relative to the shard's folder.
        facts: What later stages and the report need to know; JSON values.
        problem: Why the case was refused.
    """

    case: str
    status: Literal["ok", "quarantined"]
    fingerprint: str
    files: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    problem: Problem | None = None


@dataclass(frozen=True)
class Manifest:
    """The records of one shard of one stage, and where its artefacts are."""

    stage: str
    folder: Path
    records: dict[str, Record]

    def usable(self) -> dict[str, Record]:
        """Return the records of the cases that are not quarantined."""
        return {case: record for case, record in self.records.items() if record.status == "ok"}

    def path(self, case: str, name: str) -> Path:
        """Return the path of the artefact called `name` of `case`."""
        return self.folder / case / name


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces, the same text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(*parts: Any) -> str:
    """Return a hash of JSON values."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def read_record(path: Path) -> Record | None:
    """Return the record at `path`, or None if there is none that can be read."""
    try:
        return _record(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _record(values: Mapping[str, Any]) -> Record:
    problem = values.get("problem")
    return Record(**{**values, "problem": Problem(**problem) if problem else None})


def load_manifest(path: Path) -> Manifest:
    """Read a shard's manifest.

    Raises:
        IntegrityError: If the file is missing or is no manifest.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        records = [_record(record) for record in values["cases"]]
        stage = values["stage"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IntegrityError(
            f"{path} is not a manifest: {reason(error)}.",
            code="manifest-unreadable",
            remedy="delete the file and run the workflow again; finished cases are not done again.",
        ) from error
    return Manifest(stage, path.with_suffix(""), {record.case: record for record in records})


def load_manifests(paths: Sequence[Path]) -> list[Manifest]:
    """Read several shards' manifests, in the given order."""
    return [load_manifest(path) for path in paths]


@dataclass(frozen=True)
class CaseWork:
    """One case to do.

    Attributes:
        case: The case's id.
        made_from: JSON values that, with the settings, decide the artefacts; for example the ``files`` and
            ``facts`` of the records they are made from.
        inputs: Whatever the stage's own function wants to be handed.
        known: Facts that its record has even if the case is refused.
    """

    case: str
    made_from: Any
    inputs: Any = None
    known: Mapping[str, Any] = field(default_factory=dict)


Work = Callable[[CaseWork, Path], Mapping[str, Any]]
"""Makes one case's artefacts inside the given empty folder and returns the record's facts."""


def process_shard(
    stage: str,
    manifest: Path,
    cases: Sequence[CaseWork],
    work: Work,
    *,
    settings: str,
) -> None:
    """Do every case of a shard that is not done, then write the shard's manifest.

    Args:
        stage: Name of the stage.
        manifest: Where the manifest goes; the artefacts go into the folder of the same name.
        cases: The cases, in the shard's order.
        work: Makes one case's artefacts.
        settings: Canonical JSON of the settings and the code version, part of every fingerprint.

    Raises:
        SystematicError: If too many cases fail with one code.
    """
    folder = manifest.with_suffix("")
    with locked(manifest):
        folder.mkdir(parents=True, exist_ok=True)
        _remove_partial(folder)
        records: list[Record] = []
        for case in tqdm(cases, desc=f"{stage} {manifest.stem}", unit="case", mininterval=5, file=sys.stderr):
            records.append(_process_case(stage, folder, case, work, settings))
            _stop_if_systematic(stage, records)
        write_json(manifest, {"stage": stage, "cases": [asdict(record) for record in records]})


def _process_case(stage: str, folder: Path, case: CaseWork, work: Work, settings: str) -> Record:
    expected = fingerprint(stage, settings, case.made_from)
    record_path = folder / f"{case.case}.json"
    record = read_record(record_path)
    if record is not None and record.fingerprint == expected and _intact(folder, record):
        return record
    record_path.unlink(missing_ok=True)
    partial = folder / f".{case.case}.partial"
    partial.mkdir()
    try:
        facts = {**case.known, **work(case, partial)}
        record = Record(case.case, "ok", expected, _commit(partial, folder / case.case, folder), facts)
    except CaseError as error:
        shutil.rmtree(folder / case.case, ignore_errors=True)
        problem = Problem(error.code, error.message, error.remedy, error.retry)
        record = Record(case.case, "quarantined", expected, facts=dict(case.known), problem=problem)
        log.warning("%s: case %s goes to quarantine: %s", stage, case.case, error)
    except OSError as error:
        raise EnvironmentFault(
            f"{stage} could not write the artefacts of case {case.case}: {error}.",
            code="environment-io",
            remedy="check that the disk has room and can be written, then run again; "
            "finished cases are kept.",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    write_json(record_path, asdict(record))
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


def _intact(folder: Path, record: Record) -> bool:
    if record.problem is not None:
        return not record.problem.retry
    # Hashing takes 16 ms for a volume of 25 MB, so a file that was cut or changed is found by running the stage again.
    return all(
        (folder / name).is_file() and sha256_of(folder / name) == expected
        for name, expected in record.files.items()
    )


def _remove_partial(folder: Path) -> None:
    for leftover in folder.glob(".*.partial*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _stop_if_systematic(stage: str, records: Sequence[Record]) -> None:
    """Stop where most cases of a shard fail alike: a wrong set-up, which scattered bad files never look like."""
    if len(records) < SYSTEMATIC_CASES:
        return
    codes = Counter(record.problem.code for record in records if record.problem)
    remedies = {record.problem.code: record.problem.remedy for record in records if record.problem}
    for code, count in codes.items():
        if count >= SYSTEMATIC_SHARE * len(records):
            raise SystematicError(
                f"{stage}: {count} of {len(records)} cases fail with {code}.",
                code="systematic-failure",
                remedy="the set-up is probably wrong, not the cases; look at one of them. "
                f"Its own remedy: {remedies[code]} If the files are bad indeed, this stage's log names them: list them "
                "in cohort.exclude_txt and run again.",
            )
