"""The patient and the study of a DICOM file, from its first kilobytes, without a DICOM library.

Planning a cohort looks into one file of each folder, on every node of a cluster, so this module uses the standard
library alone and stops at the study's UID. Both identifiers are hashed at once; nothing else of them is kept. A hash of
a short number can be found by trying all numbers: it is a pseudonym, not anonymity.

Source: DICOM PS3.5, sections 7.1 (data elements), 7.5 (nesting), A.1 to A.5 (transfer syntaxes); PS3.10, section 7.1.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

START_BYTES = 1 << 16
"""Read of each file; the study's UID stands in the first few thousand."""
_PATIENT_ID, _STUDY_UID, _SYNTAX = (0x0010, 0x0020), (0x0020, 0x000D), (0x0002, 0x0010)
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xE000, 0xE00D, 0xE0DD
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
"""Types whose length has 32 bits in the explicit transfer syntaxes."""
_UNDEFINED = 0xFFFFFFFF
_DEFLATED, _BIG = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2"
_NO_ID = frozenset(
    {b"", b"0", b"1", b"id", b"na", b"n/a", b"none", b"null", b"anon", b"anonymous", b"anonymized", b"anonymised"}
    | {b"unknown", b"removed", b"deidentified", b"de-identified", b"patient", b"xxx", b"xxxx", b"noid", b"no id"}
)
"""What is written in place of an identifier, in lower case; it would make one patient of all."""


@dataclass(frozen=True)
class Identity:
    """Pseudonyms of a file's patient and study; empty where the file names none."""

    patient: str
    study: str


def identity_of(path: Path) -> Identity | None:
    """Return the patient and the study of a file; None if it is no DICOM file or cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb", buffering=0) as file:
            return identity_in(file.read(START_BYTES))
    except OSError:
        return None


def identity_in(start: bytes) -> Identity | None:
    """Return the patient and the study of a file that starts with these bytes; None if it is no DICOM file."""
    try:
        return _identity(start)
    except (struct.error, IndexError, zlib.error, RecursionError):
        return None


def is_dicom(start: bytes) -> bool:
    """Return whether a file that starts with these bytes is DICOM, with a preamble or without."""
    return start[128:132] == b"DICM" or start[:2] in (b"\x08\x00", b"\x02\x00")


def pseudonym(kind: str, value: bytes) -> str:
    """Return 16 hexadecimal digits in place of an identifier; empty for an empty one."""
    return hashlib.sha256(f"medsyn2 {kind}\0".encode() + value).hexdigest()[:16] if value else ""


def _identity(start: bytes) -> Identity | None:
    if not is_dicom(start):
        return None
    found = _find(start)
    patient, study = (found.get(tag, b"").strip(b" \0") for tag in (_PATIENT_ID, _STUDY_UID))
    if not study and not patient:
        return None
    return Identity(pseudonym("patient", b"" if patient.lower() in _NO_ID else patient), pseudonym("study", study))


def _find(start: bytes) -> dict[tuple[int, int], bytes]:
    """Return the values of the patient's ID and the study's UID."""
    found: dict[tuple[int, int], bytes] = {}
    at = 132 if start[128:132] == b"DICM" else 0
    syntax = b""
    while start[at : at + 2] == b"\x02\x00":  # the file meta information, always explicit and little-endian
        tag, value, at = _element(start, at, "<", is_explicit=True)
        syntax = value.strip(b" \0") if tag == _SYNTAX else syntax
    if syntax == _DEFLATED:
        start, at = zlib.decompressobj(-zlib.MAX_WBITS).decompress(start[at:], START_BYTES), 0
    order = ">" if syntax == _BIG else "<"
    is_explicit = start[at + 4 : at + 6].isalpha() and start[at + 4 : at + 6].isupper()
    while at + 8 <= len(start) and struct.unpack_from(f"{order}HH", start, at) <= _STUDY_UID:
        tag, value, at = _element(start, at, order, is_explicit=is_explicit)
        if tag in (_PATIENT_ID, _STUDY_UID):
            found[tag] = value
    return found


def _element(start: bytes, at: int, order: str, *, is_explicit: bool) -> tuple[tuple[int, int], bytes, int]:
    """Return the tag and the value of an element, and the byte after it; of a sequence, no value."""
    group, element = struct.unpack_from(f"{order}HH", start, at)
    if is_explicit and group != 0xFFFE:
        kind = start[at + 4 : at + 6]
        if kind in _LONG:
            (length,), at = struct.unpack_from(f"{order}I", start, at + 8), at + 12
        else:
            (length,), at = struct.unpack_from(f"{order}H", start, at + 6), at + 8
    else:
        (length,), at = struct.unpack_from(f"{order}I", start, at + 4), at + 8
    if length == _UNDEFINED:
        return (group, element), b"", _end_of_sequence(start, at, order, is_explicit=is_explicit)
    return (group, element), start[at : at + length], at + length


def _end_of_sequence(start: bytes, at: int, order: str, *, is_explicit: bool) -> int:
    """Return the byte after a sequence of undefined length."""
    while True:
        (group, element), _, after = _item(start, at, order)
        if element == _END_OF_SEQUENCE or group != 0xFFFE:
            return after
        if element == _ITEM and struct.unpack_from(f"{order}I", start, at + 4)[0] == _UNDEFINED:
            at += 8
            while struct.unpack_from(f"{order}HH", start, at) != (0xFFFE, _END_OF_ITEM):
                _, _, at = _element(start, at, order, is_explicit=is_explicit)
            at += 8
        else:
            at = after


def _item(start: bytes, at: int, order: str) -> tuple[tuple[int, int], bytes, int]:
    group, element, length = struct.unpack_from(f"{order}HHI", start, at)
    return (group, element), b"", at + 8 + (0 if length == _UNDEFINED else length)
