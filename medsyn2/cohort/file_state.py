"""What can be told of files without reading them: whether one changed, and whether two seem the same.

The workflow tracks manifests, not the CTs, which may be any kind of broken. So the state of a shard's files, size
and time of each, is a parameter of the rules that read them: a changed file re-runs its shard, where the cases
whose content is as it was are skipped.

Two files of equal size with equal bytes at a few places, the last ones (of a gzip stream: its checksum) among
them, are probably copies. Only files of equal size are opened; whoever refuses one compares them whole first.
"""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from medsyn2.cohort.shards import Case

_PLACES, _BYTES = 8, 4096


def state_of(paths: Iterable[str]) -> str:
    """Return a hash of the size and time of each file; of one that cannot be seen, of that it cannot."""
    found = [_status(path) for path in paths]
    state = [(status.st_size, status.st_mtime_ns) if status else None for status in found]
    return hashlib.sha256(repr(state).encode()).hexdigest()


def mask_paths(pattern: str | None, cases: Iterable[Case], structures: Iterable[str]) -> list[str]:
    """Return the files that ``segment.mask_files`` names for some cases; none if it is empty."""
    filled = [(pattern or "").replace("{structure}", name) for name in structures]
    return [path.replace("{case}", case.id) for case in cases for path in filled if path]


def find_repeats(cases: Iterable[Case]) -> dict[str, str]:
    """Return, of each case whose file seems to hold the bytes of an earlier case's, that file."""
    by_size: dict[int, list[Case]] = defaultdict(list)
    for case in cases:
        status = _status(case.path)
        if status and stat.S_ISREG(status.st_mode) and status.st_size:
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
    """Return the cases, each with the earlier file that it seems to repeat."""
    return [replace(case, same_as=repeated.get(case.id)) for case in cases]


def _status(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:
        return None


def _sample(path: str, size: int) -> bytes | None:
    """Return some bytes of a file, from its first to its last, or None if it cannot be read."""
    last = max(size - _BYTES, 0)
    try:
        with Path(path).open("rb", buffering=0) as file:
            parts = [os.pread(file.fileno(), _BYTES, last * place // _PLACES) for place in range(_PLACES + 1)]
    except OSError:
        return None
    return hashlib.sha256(b"".join(parts)).digest()
