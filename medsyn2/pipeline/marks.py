"""The signs by which a file says that a model made it, and how sure each is.

A sidecar names its volume by sha256, so it proves where exactly these bytes came from. A header can be copied or lost;
a sidecar beside other bytes of that name was left behind or its volume was saved again. Of a volume without any sign,
nothing is known.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medsyn2.dicom.members import FAULTS, is_archive_name, members_of
from medsyn2.errors import InvalidVolumeError, reason
from medsyn2.formats.marks import header_mark
from medsyn2.pipeline.outputs import sidecar_path
from medsyn2.pipeline.volume_output import hash_of

Verdict = Literal["certain", "marked", "unmarked"]

_START_BYTES = 1 << 20
"""Of a file, in which its header is looked for."""


@dataclass(frozen=True)
class Mark:
    """A sign found, or none."""

    verdict: Verdict  # ``certain`` by a hash, ``marked`` by words in a header or a name, or ``unmarked``
    sign: str  # Which sign it is


def find_mark(path: Path) -> Mark:
    """Return the surest sign of a file, an archive or a folder of slices.

    Raises:
        InvalidVolumeError: If it cannot be read.
    """
    try:
        described = _described(path)
        if described and hash_of(path) in described.values():
            return Mark("certain", f"its sidecar {sidecar_path(path).name} has its sha256")
        if mark := _mark_inside(path):
            return Mark("marked", f"its header says {mark!r}")
    except FAULTS as error:
        raise InvalidVolumeError(
            f"{path}: expected a file that can be read, got: {reason(error)}.",
            code="file-unreadable",
            remedy="check the path and the permissions, or get the file again.",
        ) from error
    if described:
        return Mark("marked", f"the sidecar {sidecar_path(path).name} is of other bytes of this name")
    return Mark("unmarked", "no sign was found, which proves nothing")


def _mark_inside(path: Path) -> str:
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
        return next((mark for one in files if (mark := _mark_inside(one))), "")
    with path.open("rb") as file:
        if is_archive_name(path.name):
            starts = (member.file.read(_START_BYTES) for member in members_of(file, path.name))
            return next((mark for start in starts if (mark := header_mark(start))), "")
        return header_mark(file.read(_START_BYTES))


def _described(path: Path) -> dict[str, str]:
    """Return the hashes in the sidecar beside a volume or a mask, by file name; empty without a sidecar of ours."""
    for name in (sidecar_path(path).name, f"{path.name.partition('_mask')[0]}.json"):
        try:
            values = json.loads(path.with_name(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(values, dict) and values.get("synthetic") is True and "medsyn2" in values:
            found = dict(_hashes(values))
            if path.name in found:
                return {path.name: found[path.name]}
    return {}


def _hashes(values: Any) -> list[tuple[str, str]]:
    """Return each file and hash that a sidecar has, at any depth."""
    if not isinstance(values, dict):
        return []
    own = [(str(values["file"]), str(values["sha256"]))] if {"file", "sha256"} <= values.keys() else []
    return own + [pair for value in values.values() for pair in _hashes(value)]
