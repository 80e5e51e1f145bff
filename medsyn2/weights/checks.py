"""Checks of a folder of weights against published and recorded checksums.

A file is *verified* by its published checksum, complete or the beginning that some file names contain. Otherwise
``SHA256SUMS``, written at the download, holds its checksum, so that a copy is compared with the original; a site with
its own weights under a published name lists them there. For output of ``medsyn2 convert``, the description next to the
tensors holds their checksum. A file without a known checksum must at least open in its format.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Literal

from medsyn2.errors import IntegrityError
from medsyn2.files import sha256_of, write_text_atomically
from medsyn2.weights.catalogue import Download
from medsyn2.weights.formats import format_problem

CHECKSUMS = "SHA256SUMS"
State = Literal["verified", "recorded", "unverified", "missing", "damaged"]


@dataclass(frozen=True)
class Check:
    """Result for one file."""

    path: Path  # The file, or a pattern without a match
    # ``verified`` by a published checksum; ``recorded`` in SHA256SUMS or a description; ``unverified`` if it opens
    # and no checksum is known; ``missing``; ``damaged``
    state: State
    note: str = ""  # Expected and found values of a problem


def read_checksums(folder: Path) -> dict[str, str]:
    """Read ``SHA256SUMS``: the sha256 of each file by its path below `folder`.

    Raises:
        IntegrityError: If a line is not a checksum.
    """
    path = folder / CHECKSUMS
    sums: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise IntegrityError(
                f"{path}: expected lines of a sha256, two spaces and a path, got {line[:80]!r}.",
                code="checksums-unreadable",
                remedy=f"make it anew: cd {folder} && find . -type f ! -name {CHECKSUMS} | cut -c3- | xargs sha256sum "
                f"> {CHECKSUMS}",
            )
        sums[PurePosixPath(name.removeprefix("*")).as_posix()] = digest
    return sums


def add_checksums(folder: Path, paths: Iterable[Path]) -> None:
    """Add the sha256 of files below `folder` to its ``SHA256SUMS``."""
    sums = read_checksums(folder) | {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(sums.items())]
    write_text_atomically(folder / CHECKSUMS, "".join(lines))


def check_download(download: Download, folder: Path, sums: Mapping[str, str]) -> list[Check]:
    """Check the files of a download in the folder of weights."""
    place = folder / download.path
    if not download.unpacks:
        if not place.is_file():
            return [Check(place, "missing")]
        return [_compare_checksum(place, download.sha256, sums.get(download.path, ""))]
    checks = []
    for pattern in download.unpacks:
        recorded = {name for name in sums if fnmatch(name, f"{download.path}/{pattern}")}
        names = recorded | {path.relative_to(folder).as_posix() for path in place.glob(pattern) if path.is_file()}
        checks += [
            _compare_checksum(folder / name, "", sums.get(name, ""))
            if (folder / name).is_file()
            else Check(folder / name, "missing")
            for name in sorted(names)
        ]
        if not names:
            checks.append(Check(place / pattern, "missing"))
    return checks


def check_recorded(path: Path, sha256: str, record: str) -> Check:
    """Compare a file with its checksum from `record`, the name of a file or key."""
    if not path.is_file():
        return Check(path, "missing")
    found = sha256_of(path)
    if found != sha256:
        return Check(path, "damaged", f"its sha256 is {found}, expected {sha256} of {record}")
    return Check(path, "recorded")


def check_format(path: Path, problem: Callable[[Path], str]) -> Check:
    """Check the format of a file without a known checksum.

    Args:
        problem: Returns the problem of an existing file, empty if there is none.
    """
    if not path.is_file():
        return Check(path, "missing")
    found = problem(path)
    return Check(path, "damaged", found) if found else Check(path, "unverified", "no checksum is recorded")


def _compare_checksum(path: Path, published: str, recorded: str) -> Check:
    if path.stat().st_size == 0:
        return Check(path, "damaged", "it is empty")
    if not published and not recorded:
        return check_format(path, format_problem)
    if not published:
        return check_recorded(path, recorded, CHECKSUMS)
    found = sha256_of(path)
    if recorded and found != recorded:
        return Check(path, "damaged", f"its sha256 is {found}, expected {recorded} of {CHECKSUMS}")
    if not found.startswith(published):
        problem = f"its sha256 is {found}, expected {published} as published"
        if not recorded:
            return Check(path, "damaged", problem)
        return Check(path, "recorded", f"{CHECKSUMS} lists it; {problem}")
    return Check(path, "verified")
