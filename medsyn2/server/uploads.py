"""Uploads: a file under a name of the server's own, of a kind that its suffix says, with all that it claims in doubt.

An archive is unpacked into numbered files: the names in it are not used. Its members and their bytes are counted as
they come, whatever its directory says.
"""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from medsyn2.errors import InvalidVolumeError, reason
from medsyn2.server.problems import Refusal

As = Literal["ct", "mask"]
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd", ".dcm", ".zip")
"""Formats whose files stand alone; the headers of .mhd and .nhdr name other files."""
MAX_MEMBERS = 8192
MAX_UNPACKED_BYTES = 4 << 30
"""Of an archive: a CT of 512 x 512 x 4000 voxels of int16, with headers, is half of it."""
_PART = 1 << 20


def suffix_of(name: str, use: As) -> str:
    """Return the suffix of a file's name.

    Raises:
        Refusal: If no such file is opened.
    """
    found = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), None)
    if found is None or (use == "mask" and found == ".zip"):
        raise Refusal(
            415,
            f"expected a file that ends in {', '.join(SUFFIXES)}, got another.",
            code="upload-kind",
            remedy="give NIfTI, MetaImage or NRRD as one file; a DICOM series as a zip; a mask as one of these or SEG.",
        )
    return found


def title_of(name: str) -> str:
    """Return the name of an upload as the page shows it: without folders and suffix."""
    stem = re.split(r"[\\/]", name)[-1]
    suffix = next((one for one in SUFFIXES if stem.lower().endswith(one)), "")
    return stem[: len(stem) - len(suffix)] or "upload"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive of DICOM files into a new folder, as numbered files.

    Raises:
        InvalidVolumeError: If it is damaged, encrypted or too large.
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
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidVolumeError(
            f"expected an archive of a DICOM series, got: {reason(error)}.",
            code="archive-unusable",
            remedy="make a plain zip of the folder with the slices of one series.",
        ) from error
