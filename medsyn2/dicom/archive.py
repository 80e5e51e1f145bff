"""A series of DICOM slices in a .zip archive, as portals hand it out.

An archive is unpacked into numbered files for the time of reading: the names in it are not used, since they may lead
anywhere. Its members and their bytes are counted as they come, whatever its directory says.
"""

import errno
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from medsyn2.dicom.volume import DicomSeries, open_series
from medsyn2.errors import InvalidVolumeError, reason
from medsyn2.vocabulary import SeriesRule

MAX_MEMBERS = 8192
MAX_UNPACKED_BYTES = 4 << 30
"""Of an archive: a CT of 512 x 512 x 4000 voxels of int16, with headers, is half of it."""
_PART = 1 << 20
_DAMAGE = (EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""Errors of the zip module; a RuntimeError is a password or a method that it does not know."""


def open_archive(path: Path, *, series: str | None = None, rule: SeriesRule = "largest") -> DicomSeries:
    """Read the volume of an archive, as `open_series` does that of a folder.

    Raises:
        InvalidVolumeError: If the archive is damaged, encrypted or too large, or holds no CT.
        GeometryError: If no series makes a volume.
    """
    with TemporaryDirectory(prefix="medsyn2-") as temporary:
        folder = Path(temporary) / path.name
        unpack(path, folder)
        return open_series(folder, series=series, rule=rule)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of DICOM files into a new folder, as numbered files.

    Raises:
        InvalidVolumeError: If it is damaged, encrypted or too large.
        OSError: If the disk is full, or the folder cannot be written to.
    """
    folder.mkdir()
    room = MAX_UNPACKED_BYTES
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            if len(members) > MAX_MEMBERS:
                raise ValueError(f"{len(members)} files, at most {MAX_MEMBERS} are read")
            for number, member in enumerate(members):
                with opened.open(member) as source, (folder / f"{number:06d}.dcm").open("wb") as target:
                    while part := source.read(_PART):
                        room -= len(part)
                        if room < 0:
                            raise ValueError(f"more than {MAX_UNPACKED_BYTES:,} bytes")
                        target.write(part)
    except OSError as error:
        # Damage is a place that cannot be sought, or a decompressor's complaint; a full disk is the machine's fault.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _unusable(error) from error
    except _DAMAGE as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> InvalidVolumeError:
    return InvalidVolumeError(
        f"expected an archive of a DICOM series, got: {reason(error)}.",
        code="archive-unusable",
        remedy="make a plain zip of the folder with the slices of one series.",
    )
