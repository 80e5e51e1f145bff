"""Exports of many volumes that go on after a stop, and that several jobs make together.

A hidden file in the folder says of what the export is, from its start until its last file is written. A case whose last
file is there is done, since each file is written whole or not at all. So the same command goes on with an export that
was stopped, and jobs with a part of the cases each need not know of each other; the one without a part, run last, makes
what is missing and writes the tables. A folder with other files, or with an export of other volumes, is left alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from medsyn2.errors import ConfigError
from medsyn2.integrity import read_sealed, write_sealed

FILE = ".export.json"
Shard = tuple[int, int]
"""The number of a part, from 1, and of all parts."""
_T = TypeVar("_T")


def check_place(folder: Path) -> None:
    """Refuse a place that holds files of anything but an export that was not finished.

    Raises:
        ConfigError: If it does.
    """
    if not folder.exists() or (folder / FILE).is_file():
        return
    if not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ConfigError(
            f"{folder} holds files already; expected a new or an empty folder, or an export that was stopped.",
            code="output-taken",
            remedy="give another folder, or remove it.",
        )


def begin(folder: Path, request: str) -> None:
    """Claim a folder for an export, or go on with it.

    Args:
        request: Fingerprint of all that decides what is exported.

    Raises:
        ConfigError: If the place is taken, or holds an export of another request.
    """
    check_place(folder)
    place = folder / FILE
    if not place.is_file():
        write_sealed(place, {"request": request})
    elif read_sealed(place) != {"request": request}:
        raise ConfigError(
            f"{folder} holds an export that was stopped, of other volumes or options.",
            code="export-of-another-request",
            remedy="give the same command to go on with it; else another folder, or remove it.",
        )


def part_of(cases: Sequence[_T], shard: Shard | None) -> Sequence[_T]:
    """Return the cases of a part: every n-th from the i-th on; all without a part."""
    part, parts = shard or (1, 1)
    return cases[part - 1 :: parts]


def finish(folder: Path) -> None:
    """Say that an export is whole."""
    (folder / FILE).unlink(missing_ok=True)


def state_of_file(path: Path) -> tuple[int, int]:
    """Return the size and the time of a file, by which a changed source is seen; of a folder its own."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
