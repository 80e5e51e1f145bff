"""The files of an archive, one after the other, with the standard library alone.

The kind of an archive is told by its first bytes, and by its name where they are damaged: zip, or tar, plain or
compressed with gzip, bzip2 or xz. A zip has a directory, a tar is passed from its start. Python reads a tar that broke
off, or in which a header is damaged, as one that ends there, so that its end is checked here.
"""

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from medsyn2.vocabulary import ARCHIVE_SUFFIXES

DAMAGE: tuple[type[Exception], ...] = (
    *(EOFError, OverflowError, RuntimeError, ValueError),
    *(lzma.LZMAError, struct.error, tarfile.TarError, zipfile.BadZipFile, zlib.error),
)
"""Errors of a damaged archive, beside an OSError without a number or of a place that cannot be sought. A RuntimeError
is a password or a method that the zip module does not know."""
FAULTS: tuple[type[Exception], ...] = (OSError, *DAMAGE)
"""All errors of looking into an archive."""

_COMPRESSIONS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_ZIP, _TAR, _TAR_AT = b"PK", b"ustar", 257
_BLOCK = tarfile.BLOCKSIZE
_PADDING = 1 << 20
"""Bytes after the end of a tar that are read, with the checksum of its compression; it is padded to 10,240."""


@dataclass(frozen=True)
class Member:
    """A file of an archive, to be read before the next is asked for."""

    name: str  # Its path in the archive, which may lead anywhere
    end: int  # Bytes of the archive, uncompressed, that reaching the next costs; 0 in a zip
    file: IO[bytes]  # Its content


def is_archive_name(name: str) -> bool:
    """Return whether a file of this name is an archive that may hold DICOM."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def members_of(file: IO[bytes], name: str) -> Iterator[Member]:
    """Yield the files of an archive in its order; links, devices and folders in it are none.

    Args:
        name: The archive's name.

    Raises:
        OSError: If it cannot be read.
        Exception: One of `DAMAGE` if it is damaged, also while a member is read.
    """
    start = file.read(_TAR_AT + len(_TAR))
    file.seek(0)
    for mark, decompress in _COMPRESSIONS.items():
        if start.startswith(mark):
            with decompress(file) as stream:
                yield from _tar_members(stream)
            return
    if start.startswith(_ZIP) or (name.lower().endswith(".zip") and start[_TAR_AT:] != _TAR):
        yield from _zip_members(file)
    else:
        yield from _tar_members(file)


def _zip_members(file: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(file) as opened:
        for info in opened.infolist():
            if not info.is_dir():
                with opened.open(info) as content:
                    yield Member(info.filename, 0, content)


def _tar_members(stream: IO[bytes]) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r:") as opened:
        for info in opened:
            content = opened.extractfile(info) if info.isfile() else None
            if content is not None:
                yield Member(info.name, info.offset_data + info.size, content)
        stream.seek(opened.offset)
        if stream.read(_BLOCK) != bytes(_BLOCK):
            raise ValueError("it breaks off, or a header in it is damaged")
        stream.read(_PADDING)
