"""The words in a header by which a volume says that a model made it, found without reading its voxels."""

import io
import re
import struct
import zlib

from medsyn2.dicom.identity import is_dicom
from medsyn2.vocabulary import SYNTHETIC

_TEXT = re.compile(rf"{SYNTHETIC}[ -~]*".encode())
_HEADER_BYTES = 1 << 16


def header_mark(start: bytes) -> str:
    """Return the mark in the first bytes of a file; empty if there is none.

    Args:
        start: A megabyte is enough.
    """
    if is_dicom(start):
        return _dicom_mark(start)
    if start[:2] == b"\x1f\x8b":
        start = zlib.decompressobj(47).decompress(start, _HEADER_BYTES)
    header = _header_of(start)
    found = _TEXT.search(header)
    return found[0].decode("ascii").strip() if found else ""


def _header_of(start: bytes) -> bytes:
    """Return the bytes before the voxels, so that no voxel is taken for a word."""
    if start.startswith(b"NRRD"):
        return start.partition(b"\n\n")[0]
    if b"ElementDataFile" in start:
        return start.partition(b"ElementDataFile")[0]
    if start[344:347] in (b"n+1", b"ni1"):  # NIfTI-1: the header and its extensions
        return start[: _first_voxel(start)]
    return b""


def _first_voxel(start: bytes) -> int:
    order = "<" if int.from_bytes(start[:4], "little") == 348 else ">"
    (offset,) = struct.unpack_from(f"{order}f", start, 108)
    return int(min(max(offset, 348), len(start)))


def _dicom_mark(start: bytes) -> str:
    from pydicom import dcmread

    try:
        value = dcmread(io.BytesIO(start), stop_before_pixels=True, specific_tags=["SyntheticData"], force=True)
    except Exception:  # noqa: BLE001  # of pydicom: anything, for bytes that are anything
        return ""
    return "SyntheticData YES" if str(value.get("SyntheticData", "")).upper() == "YES" else ""
