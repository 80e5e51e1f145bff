"""Files that are there whole or not at all, and that one process at a time writes.

A file is written under a temporary name in the folder where it belongs, flushed to the disk and renamed into
place, so that a reader sees the old file, or none, or the whole new one, also after a crash. Its writer holds a
lock on it, so that the next writer tells what a killed one left from what is being written. This module uses the
standard library alone: Snakemake's own process imports it.
"""

import fcntl
import glob
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name beside `path`, then put it in place.

    A reader sees the old file, or none, or the whole new one, also after a crash. What a killed writer of `path`
    left beside it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-2:])
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial{glob.escape(suffix)}"):
        _remove_abandoned(leftover)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial{suffix}")
    with partial.open("wb") as file:
        try:
            _claim(file)
            write(partial)
            sync(partial)
            partial.replace(path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def _claim(file: BinaryIO) -> bool:
    """Lock an open file unless another process has it; the lock ends with the process, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # Somebody has it, or the file system knows no locks: nothing is known to be abandoned.
        return False
    return True


def _remove_abandoned(partial: Path) -> None:
    with suppress(FileNotFoundError), partial.open("rb+") as file:
        if _claim(file):
            partial.unlink()


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, whole or not at all."""
    write_text_atomically(path, json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n")


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk, so that a power cut does not undo what was written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path` against every other process; waits for a process that is still writing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
