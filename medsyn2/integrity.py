"""Whether a file is the one that was written: readers compare what they read with what the writer recorded.

There are three records. The artefacts of a case have their sha256 in the record of the case, which the manifest
repeats. A JSON file that a stage writes holds the hash of its own content under the key `SEAL`, so that a changed value
is seen as a changed byte is. Any other output of a stage, such as a table or a figure, has its sha256 in the hidden
file ``.<name>.sha256`` beside it, in the form of ``sha256sum``.

Files without a record are read as they are: those of users, and those of earlier versions. A file that was found right
is hashed again by the same process only after its size or its times have changed, so that a training pays for the
first reading alone. This module uses the standard library alone: Snakemake's own process imports it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medsyn2.errors import IntegrityError, reason
from medsyn2.files import sha256_of, write_json, write_text_atomically
from medsyn2.fingerprints import fingerprint, to_json

SEAL = "seal"

_MARK = "sha256 of the rest: "

_State = tuple[str, int, int, int, int]

_found_right: dict[Path, _State] = {}
"""State of the files whose sha256 this process has found to be the recorded one."""


def write_sealed(path: Path, value: Any) -> None:
    """Write a JSON object, as `write_json` does, with its seal."""
    values = to_json(value)
    write_json(path, {**values, SEAL: _seal_of(values)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Return a JSON object without its seal; one that has none is returned as it is.

    Raises:
        ValueError: If the file is no JSON object, or its content is not the one that was sealed.
        OSError: If it cannot be read.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object, got {type(values).__name__}")
    # By its beginning, a seal is known under a damaged key too.
    sealed = SEAL in values or any(str(held).startswith(_MARK) for held in values.values())
    if sealed and values.pop(SEAL, None) != _seal_of(values):
        raise ValueError("a value was changed after the file was written; its content does not match its seal")
    return values


def load_sealed(path: Path) -> dict[str, Any]:
    """Read a JSON object that a stage wrote, as `read_sealed` does.

    Raises:
        IntegrityError: If it is not there or was damaged.
    """
    try:
        return read_sealed(path)
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{path} is not the file that an earlier stage wrote: {reason(error)}.",
            code="output-damaged",
            remedy=remedy_by_deleting(path),
        ) from error


def _seal_of(values: Mapping[str, Any]) -> str:
    return f"{_MARK}{fingerprint(values)}"


def is_unchanged(path: Path, sha256: str) -> bool:
    """Return whether the file is there and has this sha256."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    state = (sha256, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if _found_right.get(path) != state:
        if sha256_of(path) != sha256:
            return False
        _found_right[path] = state
    return True


def verify(path: Path, sha256: str, record: Path) -> Path:
    """Return `path` if the file is the one that the manifest or description `record` says.

    Raises:
        IntegrityError: If it is not there or has other bytes.
    """
    if is_unchanged(path, sha256):
        return path
    found = f"has the sha256 {sha256_of(path)[:12]}" if path.is_file() else "is not there"
    raise IntegrityError(
        f"{path} {found}, expected {sha256[:12]} as {record} says: it was damaged or replaced after it was written.",
        code="artefact-damaged",
        remedy=remedy_by_deleting(record),
    )


def remedy_by_deleting(path: Path) -> str:
    """Return the remedy for damage to what a stage made: delete the file that Snakemake tracks, and run."""
    return f"put the file back, or `rm {path}` and run the workflow again; only what is damaged is made again."


def write_checksums(paths: Iterable[Path]) -> None:
    """Record the sha256 of a stage's outputs beside them, except of JSON files, which are sealed."""
    for path in paths:
        if path.suffix != ".json" and path.is_file():
            write_text_atomically(_checksum_path(path), f"{sha256_of(path)}  {path.name}\n")


def check_file(path: Path) -> Path:
    """Return `path` if the file has the sha256 that is recorded beside it, or none is.

    Raises:
        IntegrityError: If it has other bytes, or what is recorded is no sha256.
    """
    try:
        recorded = _checksum_path(path).read_bytes().decode("ascii", "replace").split()
    except (FileNotFoundError, NotADirectoryError):
        return path
    if recorded[1:] == [path.name] and path.is_file() and is_unchanged(path, recorded[0]):
        return path
    raise IntegrityError(
        f"{path} does not have the sha256 that {_checksum_path(path)} records: one of them was damaged, replaced or "
        "edited after the stage wrote it.",
        code="output-damaged",
        remedy=remedy_by_deleting(path),
    )


def check_files(folder: Path, files: Mapping[str, str], record: Path) -> None:
    """Compare the files of a folder with their sha256, as `verify` does."""
    for name, sha256 in files.items():
        verify(folder / name, sha256, record)


def _checksum_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")
