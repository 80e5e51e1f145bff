"""Detection of changed and repeated files without reading them whole.

The workflow tracks manifests, not the CTs, which may be missing or damaged. So the state of a shard's files (size and
time of each) is a parameter of the rules that read them: a changed file re-runs its shard, which skips the cases with
unchanged content.

Two files of equal size with equal bytes at a few places, including the last (the checksum of a gzip stream), are
probably copies. Only files of equal size are opened; a case is refused only after a full comparison.
"""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from medsyn2.cohort.shards import Case

_PLACES, _BYTES = 8, 4096
_END_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"
_HEADER_SUFFIXES = (".mhd", ".nhdr")
"""Of files that are headers alone. Two volumes may have the same one, for their voxels lie beside it."""
_MAY_BE_HEADERS = (".mha", ".nrrd", *_HEADER_SUFFIXES)
_NO_SUBFOLDER = 2
"""Links of a folder that holds files alone: its name and its own entry."""


def state_of(paths: Iterable[str]) -> str:
    """Hash the size and time of each file, or its absence, with those of a header's voxels and of a folder's folders.

    A folder's time changes when a file is added, removed or replaced. Its slices are hashed when they are read.
    """
    found = [status for path in paths for status in _statuses(path)]
    state = [(status.st_size, status.st_mtime_ns) if status else None for status in found]
    return hashlib.sha256(repr(state).encode()).hexdigest()


def mask_paths(pattern: str | None, cases: Iterable[Case], structures: Iterable[str]) -> list[str]:
    """Return the files that the pattern ``segment.mask_files`` names; none if it is empty."""
    filled = [(pattern or "").replace("{structure}", name) for name in structures]
    return [path.replace("{case}", case.id) for case in cases for path in filled if path]


def find_repeats(cases: Iterable[Case]) -> dict[str, str]:
    """Return the earlier file that each repeating case seems to copy, by case id."""
    by_size: dict[int, list[Case]] = defaultdict(list)
    for case in cases:
        status = _status(case.path)
        is_header = case.path.lower().endswith(_HEADER_SUFFIXES)
        if status and stat.S_ISREG(status.st_mode) and status.st_size and not is_header:
            by_size[status.st_size].append(case)
    repeated: dict[str, str] = {}
    for size, alike in by_size.items():
        first: dict[bytes, str] = {}
        for case in alike if len(alike) > 1 else ():
            sample = _sample(case.path, size)
            if sample is not None and first.setdefault(sample, case.path) != case.path:
                repeated[case.id] = first[sample]
    return repeated


def mark_repeats(cases: Iterable[Case], repeated: Mapping[str, str]) -> list[Case]:
    """Set `same_as` of the cases that seem to repeat an earlier file."""
    return [replace(case, same_as=repeated.get(case.id)) for case in cases]


def _statuses(path: str) -> Iterator[os.stat_result | None]:
    """Yield the status of a file, or of a folder and the folders in it."""
    status = _status(path)
    yield status
    if path.lower().endswith(_HEADER_SUFFIXES):
        yield from (_status(str(other)) for other in _files_of(Path(path))[1:])
    # Most file systems count a folder's subfolders among its links; where they do not, the count is 1.
    if status is not None and stat.S_ISDIR(status.st_mode) and status.st_nlink != _NO_SUBFOLDER:
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _statuses(entry.path)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 a Path of each file would take longer than its status
    except OSError:
        return None


def _sample(path: str, size: int) -> bytes | None:
    """Hash bytes at evenly spaced places of a file; None if it cannot be read."""
    last = max(size - _BYTES, 0)
    try:
        with Path(path).open("rb", buffering=0) as file:
            parts = [os.pread(file.fileno(), _BYTES, last * place // _PLACES) for place in range(_PLACES + 1)]
    except OSError:
        return None
    return hashlib.sha256(b"".join(parts)).digest()


def content_of(path: Path) -> str | None:
    """Return a hash of a volume's content, or None if it cannot be read.

    For a gzip stream this covers the size and the first and last 64 KiB, which end in its checksum; for other files
    all bytes, those of its voxels after a header's, and for a folder of slices all bytes of each file with its place in
    the folder.
    """
    found = [_content_of_file(file) for file in _files_of(path)]
    if len(found) == 1 or None in found:
        return found[0] if len(found) == 1 else None
    return hashlib.sha256(":".join(filter(None, found)).encode()).hexdigest()


def _files_of(path: Path) -> tuple[Path, ...]:
    if path.suffix.lower() not in _MAY_BE_HEADERS:
        return (path,)
    from medsyn2.formats import volume_files  # imports NumPy, which planning a cohort of other files does not need

    return volume_files(path)


def _content_of_file(path: Path) -> str | None:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _content_of_folder(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        with path.open("rb") as file:
            ends = file.read(_END_BYTES)
            if not ends.startswith(_GZIP):
                file.seek(0)
                return hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(max(0, status.st_size - _END_BYTES))
            ends += file.read(_END_BYTES)
    except OSError:
        return None
    return hashlib.sha256(f"{status.st_size}:".encode() + ends).hexdigest()


def _content_of_folder(folder: Path) -> str:
    """Return a hash of the visible files of a folder; links to folders are not followed."""
    found = hashlib.sha256()
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(here, name)
                found.update(f"{path.relative_to(folder)}\0".encode("utf-8", "surrogateescape"))
                with path.open("rb") as file:
                    found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()
