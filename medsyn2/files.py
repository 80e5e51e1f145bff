"""Atomic writing and locking of files.

A file is written under a temporary name in its folder, flushed to the disk and renamed into place, so that a reader
sees the old file, none, or the complete new one, also after a crash. The writer locks the temporary file, so that the
next writer can tell a killed writer's leftover from a file in progress. This module uses only the standard library,
because Snakemake's own process imports it.
"""

import fcntl
import glob
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from medsyn2.errors import EnvironmentFault
from medsyn2.faults import name_file
from medsyn2.slurm import describe_end, describe_process, job_id, stop_command

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_PATIENCE_S = 60.0
_RETRY_S = 0.5


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name, then move it to `path`; remove leftovers of killed writers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-2:])
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial{glob.escape(suffix)}"):
        _remove_abandoned(leftover)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial{suffix}")
    with partial.open("wb") as file:
        try:
            _claim(file)
            with name_file(path, partial):
                write(partial)
                sync(partial)
                partial.replace(path)
                sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def _claim(file: BinaryIO) -> bool:
    """Lock an open file unless another process holds it; the lock ends with the process."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # Locked by another process, or a file system without locks: not known to be abandoned.
        return False
    return True


def _remove_abandoned(partial: Path) -> None:
    with suppress(FileNotFoundError), partial.open("rb+") as file:
        if _claim(file):
            partial.unlink()


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, such as a figure, to `path`, whole or not at all."""
    write_atomically(path, lambda partial: partial.write_bytes(content))


def write_table(path: Path, table: "pd.DataFrame", *, digits: int | None = 5) -> None:
    """Write a table as CSV without its index, with `digits` significant digits or all (None)."""
    write_text_atomically(path, table.to_csv(index=False, float_format=f"%.{digits}g" if digits else None))


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON with sorted keys."""
    write_text_atomically(path, json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n")


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk, so that writes survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock(path: Path, patience_s: float | None = None) -> Iterator[None]:
    """Hold the lock of `path` against other processes, and write into its file who holds it.

    Another holder is waited for, and named in the log; in a job of SLURM, where the wait holds a node and its GPUs, for
    a minute only.

    Args:
        patience_s: Longest wait in seconds, if not that.

    Raises:
        EnvironmentFault: If the holder does not end in time.
    """
    if patience_s is None:
        patience_s = inf if job_id() is None else _PATIENCE_S
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a+", encoding="utf-8") as file:
        _wait_for(file, path, patience_s)
        if killed := _holder(file):
            log.warning("%s was being made before: %s", path, describe_end(killed))
        file.truncate(0)
        file.write(describe_process())
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _wait_for(file: TextIO, path: Path, patience_s: float) -> None:
    end_s, named = time.monotonic() + patience_s, False
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = _holder(file) or "another process"
        if time.monotonic() > end_s:
            raise EnvironmentFault(
                f"{path} is being made by {holder}, and this job would hold its node for as long.",
                code="made-by-another",
                remedy=f"wait until it ends or end it ({stop_command(holder)}), then run again.",
            )
        if not named:
            log.warning("waiting for %s, which is at work on %s", holder, path)
            named = True
        time.sleep(_RETRY_S)


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read()
