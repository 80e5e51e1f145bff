"""NRRD files: .nrrd, and .nhdr with its data beside it.

The header says in which space its directions are; LPS, RAS and LAS become LPS. A header without a space has no place in
the patient.

Source: the definition of NRRD file format, teem.sourceforge.net/nrrd/format.html.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import deflate
import numpy as np
from jaxtyping import Shaped

from medsyn2.ct.affines import RAS_TO_LPS, Affine
from medsyn2.ct.nifti.header import invalid_volume
from medsyn2.formats.payload import ImageFile, Payload, data_file, numbers, read_header, unsupported

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_KINDS = {name: kind for kind, names in _TYPES.items() for name in names}
_TO_LPS = {
    "left-posterior-superior": np.eye(4),
    "lps": np.eye(4),
    "right-anterior-superior": RAS_TO_LPS,
    "ras": RAS_TO_LPS,
    "left-anterior-superior": np.diag([1.0, -1.0, 1.0, 1.0]),
    "las": np.diag([1.0, -1.0, 1.0, 1.0]),
}
_VECTOR = re.compile(r"\(([^)]*)\)")
_DESCRIPTION = "description"


def open_nrrd(path: Path) -> ImageFile:
    """Read a NRRD file strictly.

    Raises:
        InvalidVolumeError: If the file is damaged, is no NRRD or has voxels that are not read here.
    """
    fields, end = _parse(path)
    kind, encoding = _KINDS.get(fields.get("type", "")), fields.get("encoding", "").lower()
    if kind is None or encoding not in ("raw", "gzip", "gz") or fields.get("line skip", "0") != "0":
        raise unsupported(path.name, "volume-encoding", f"type {fields.get('type')!r}, encoding {encoding!r}")
    if "none" in fields.get("space directions", "") or re.search("vector|color|matrix", fields.get("kinds", "")):
        raise unsupported(path.name, "volume-rgb", f"kinds {fields.get('kinds')!r}")
    detached = _voxel_file_of(fields)
    skip = int((numbers(fields, "byte skip", "byteskip") or [0])[0])
    payload = Payload(
        path if detached is None else data_file(path, detached),
        skip if detached is not None or skip < 0 else end + skip,
        tuple(int(size) for size in numbers(fields, "sizes") or ()),
        np.dtype((">" if fields.get("endian") == "big" else "<") + kind),
        encoding != "raw",
    )
    return ImageFile(path.name, payload.read(path.name), (), fields.get(_DESCRIPTION, ""), _affine(fields))


def voxel_file(path: Path) -> Path:
    """Return the file that holds the voxels of a header: its own, or one beside it.

    Raises:
        InvalidVolumeError: If it is no NRRD, or names a list or a file of another folder.
    """
    named = _voxel_file_of(_parse(path)[0])
    return path if named is None else data_file(path, named)


def _voxel_file_of(fields: Mapping[str, str]) -> str | None:
    return fields.get("data file", fields.get("datafile"))


def nrrd(voxels: Shaped[np.ndarray, "d h w"], affine_mm: Affine, description: str) -> bytes:
    """Return the content of a compressed .nrrd; equal volumes give equal bytes."""
    stored = voxels.astype(voxels.dtype.newbyteorder("<"), copy=False)
    lines = [
        "NRRD0004",
        f"type: {_TYPES[voxels.dtype.str[1:]][-1]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, voxels.shape[::-1]))}",
        f"space directions: {' '.join(_vector(affine_mm[:3, axis]) for axis in (2, 1, 0))}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(affine_mm[:3, 3])}",
        *([f"{_DESCRIPTION}:={description}"] if description else []),
    ]
    header = "\n".join(lines).encode("ascii", "replace") + b"\n\n"
    return header + deflate.gzip_compress(np.ascontiguousarray(stored).data.cast("B"), 1)


def _parse(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields of a header, and the byte after the empty line that ends it."""
    start, size = read_header(path)
    end = re.search(rb"\r?\n\r?\n", start)
    if not start.startswith(b"NRRD000") or (end is None and len(start) < size):
        raise invalid_volume(
            path.name, "header-truncated", "a NRRD header, got another file", "get the file again, or give NIfTI."
        )
    text = start[: end.start() if end else len(start)].decode("utf-8", "replace")
    fields: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        found = re.match(r"([^#:][^:]*):=?\s?(.*)", line)
        if found:
            fields.setdefault(found[1].strip().lower(), found[2].strip())
    return fields, end.end() if end else len(start)


def _affine(fields: dict[str, str]) -> Affine | None:
    to_lps = _TO_LPS.get(fields.get("space", "").lower())
    columns = [_numbers(part) for part in _VECTOR.findall(fields.get("space directions", ""))]
    origin = [_numbers(part) for part in _VECTOR.findall(fields.get("space origin", ""))]
    if to_lps is None or [len(one) for one in columns] != [3, 3, 3] or [len(one) for one in origin] != [3]:
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    affine[:3, 3] = origin[0]
    return to_lps @ affine


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(f"{float(value) + 0.0:.17g}" for value in values) + ")"
