"""A series of DICOM slices in an archive, as portals hand it out.

An archive is unpacked into numbered files for the time of reading: the names in it are not used, since they may lead
anywhere. Its members and their bytes are counted as they come, whatever its directory says.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from medsyn2.ct.nifti.file_kind import stand_in
from medsyn2.ct.nifti.stream import open_file, regular_size
from medsyn2.dicom.members import DAMAGE, members_of
from medsyn2.dicom.volume import DicomSeries, open_series
from medsyn2.errors import CaseError, InvalidVolumeError, reason
from medsyn2.vocabulary import SeriesRule

MAX_MEMBERS = 8192
MAX_UNPACKED_BYTES = 4 << 30
"""Of an archive: a CT of 512 x 512 x 4000 voxels of int16, with headers, is half of it."""
_PART = 1 << 20
_START_BYTES = 540


def open_archive(path: Path, *, series: str | None = None, rule: SeriesRule = "largest") -> DicomSeries:
    """Read the volume of an archive, as `open_series` does that of a folder.

    Raises:
        InvalidVolumeError: If the archive is damaged, encrypted or too large, or holds no CT.
        GeometryError: If no series makes a volume.
    """
    with folder_of(path) as folder:
        return open_series(folder, series=series, rule=rule)


@contextmanager
def folder_of(path: Path) -> Iterator[Path]:
    """Unpack an archive for a while, into a folder of its name.

    Raises:
        CaseError: As of `unpack`.
    """
    with TemporaryDirectory(prefix="medsyn2-") as temporary:
        folder = Path(temporary) / path.name
        unpack(path, folder)
        yield folder


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of DICOM files into a new folder, as numbered files.

    Raises:
        InvalidVolumeError: If it is damaged, encrypted, too large or was never downloaded.
        UnreachableVolumeError: If it is not there or cannot be read.
        OSError: If the disk is full, or the folder cannot be written to.
    """
    regular_size(archive)
    folder.mkdir()
    with open_file(archive) as opened:
        start = opened.read(_START_BYTES)
        opened.seek(0)
        try:
            _unpack(opened, archive.name, folder)
        except OSError as error:
            # Damage is a place that cannot be sought, or a decompressor's complaint; a full disk is the machine's.
            if error.errno not in (None, errno.EINVAL):
                raise
            raise _unusable(archive.name, start, error) from error
        except DAMAGE as error:
            raise _unusable(archive.name, start, error) from error


def _unpack(opened: IO[bytes], name: str, folder: Path) -> None:
    room = MAX_UNPACKED_BYTES
    for number, member in enumerate(members_of(opened, name)):
        if number >= MAX_MEMBERS:
            raise ValueError(f"more than {MAX_MEMBERS} files")
        with (folder / f"{number:06d}.dcm").open("wb") as target:
            while part := member.file.read(_PART):
                room -= len(part)
                if room < 0:
                    raise ValueError(f"more than {MAX_UNPACKED_BYTES:,} bytes")
                target.write(part)


def _unusable(name: str, start: bytes, error: Exception) -> CaseError:
    return stand_in(start, name, "an archive of a DICOM series") or InvalidVolumeError(
        f"{name}: expected an archive of a DICOM series, got: {reason(error)}.",
        code="archive-unusable",
        remedy="get the file again; else make a plain zip of the folder with the slices of one study.",
    )
