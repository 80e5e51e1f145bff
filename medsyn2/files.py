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
from typing import IO, TYPE_CHECKING, Any, TextIO

from medsyn2.errors import EnvironmentFault
from medsyn2.faults import name_file
from medsyn2.processes import Holder
from medsyn2.slurm import describe_end, job_id, stop_command

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
            try_lock(file)
            with name_file(path, partial):
                write(partial)
                sync(partial)
                partial.replace(path)
                sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def try_lock(file: IO[Any]) -> bool | None:
    """Lock an open file unless another process holds it; the lock ends with the process.

    Returns:
        Whether it is this process's lock; None on a file system without locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_abandoned(partial: Path) -> None:
    with suppress(FileNotFoundError), partial.open("rb+") as file:
        if try_lock(file):  # otherwise it is not known to be abandoned
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
def lock(path: Path, patience_s: float | None = None, *, use: str = "") -> Iterator[None]:
    """Hold the lock of `path` against other processes, and write into its file who holds it.

    Another holder is waited for, and named in the log; in a job of SLURM, where the wait holds a node and its GPUs, for
    a minute only. A holder that is gone is replaced (``processes.py``).

    Args:
        patience_s: Longest wait in seconds, if not that.
        use: What is made there, as a hash; a holder that makes another thing is not waited for.

    Raises:
        EnvironmentFault: If the holder does not end in time, makes another thing, or may be at work on another machine.
    """
    if patience_s is None:
        patience_s = inf if job_id() is None else _PATIENCE_S
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a+", encoding="utf-8") as file:
        _wait_for(file, path, patience_s, Holder.of_this_process(use))
        try:
            yield
        finally:
            file.truncate(0)


def _wait_for(file: TextIO, path: Path, patience_s: float, own: Holder) -> None:
    end_s, named = time.monotonic() + patience_s, False
    while (holder := _take(file, path, own)) is not None:
        name = holder.name or "another process"
        if own.use and holder.use and own.use != holder.use:
            raise EnvironmentFault(
                f"{path} is in use by {name} since {holder.since}, with other settings or inputs.",
                code="used-otherwise",
                remedy=f"wait until it ends or end it ({stop_command(name)}), then run again; or work in another "
                "folder (`snakemake --directory`).",
            )
        if time.monotonic() > end_s:
            raise EnvironmentFault(
                f"{path} is being made by {name}, and this job would hold its node for as long.",
                code="made-by-another",
                remedy=f"wait until it ends or end it ({stop_command(name)}), then run again.",
            )
        if not named:
            log.warning("waiting for %s, which is at work on %s", name, path)
            named = True
        time.sleep(_RETRY_S)


def _take(file: TextIO, path: Path, own: Holder) -> Holder | None:
    """Take a lock and write down its holder, or return who else holds it.

    Raises:
        EnvironmentFault: If nobody can tell whether the holder is gone.
    """
    has_lock = try_lock(file)
    holder = _holder(file)
    if has_lock is False:
        return holder or Holder("", "", 0, "", "", "", "")
    if holder is not None and holder != own:
        state = holder.state(has_lock=has_lock is True)
        if state == "works":  # on a file system where the lock does not hold
            if has_lock:
                fcntl.flock(file, fcntl.LOCK_UN)
            return holder
        if state == "unknown":
            raise unknown_holder(holder, path, Path(file.name))
        log.warning("%s was being made before: %s", path, describe_end(holder.name))
    file.truncate(0)
    file.write(own.text())
    file.flush()
    if has_lock is None:
        time.sleep(_RETRY_S)  # two at once see each other's description, or that of the last to write
        return None if _holder(file) == own else _take(file, path, own)
    return None


def unknown_holder(holder: Holder, path: Path, record: Path) -> EnvironmentFault:
    """Return the error for a holder on another machine, of which nothing is known."""
    return EnvironmentFault(
        f"{path} is in use by {holder.name} since {holder.since}, and this machine cannot tell whether it still works.",
        code="used-elsewhere",
        remedy=f"look on {holder.host} (`ps -p {holder.pid}`). If it is gone, remove {record} and run again.",
    )


def _holder(file: TextIO) -> Holder | None:
    file.seek(0)
    return Holder.read(file.read())
