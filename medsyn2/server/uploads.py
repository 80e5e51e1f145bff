"""Uploads: a file under a name of the server's own, of a kind that its suffix says, with all that it claims in doubt.

An archive is unpacked into numbered files (``dicom/archive.py``).
"""

import re
from typing import Literal

from medsyn2.server.problems import Refusal

As = Literal["ct", "mask"]
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd", ".dcm", ".zip")
"""Formats whose files stand alone; the headers of .mhd and .nhdr name other files."""


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
