"""A generated volume on disk, in the format that its name asks for.

    ct.nii.gz, ct.nii, ct.mha, ct.nrrd    one file
    ct.zip                                an archive of DICOM files
    ct, ct/                               a folder of DICOM files: a slice each, and the masks as a segmentation

The free text of a report is no part of a DICOM header, only its hash: a report may name a person, and a series travels
without its sidecar.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from medsyn2.cohort.file_state import content_of
from medsyn2.ct.volume import CTVolume
from medsyn2.files import sha256_of, sync, write_atomically
from medsyn2.fingerprints import canonical_json
from medsyn2.formats import volume_files
from medsyn2.formats.writing import WRITABLE, write_ct

ARCHIVE = ".zip"


def is_dicom_name(path: Path) -> bool:
    """Return whether a volume of this name is written as DICOM: a folder, which has no suffix, or an archive."""
    return path.suffix.lower() == ARCHIVE or not (path.suffix or path.name.startswith("."))


def save_volume(
    path: Path,
    volume: CTVolume,
    mark: str,
    *,
    model: str,
    recipe: Mapping[str, Any],
    masks: Mapping[str, Bool[np.ndarray, "d h w"]],
    write: Callable[[Path], object] | None = None,
) -> dict[str, str]:
    """Write a volume whole or not at all, and return the name and the hash that its sidecar has.

    Args:
        mark: The words by which the header says that it is synthetic.
        model: Fingerprint of the model.
        recipe: The request as JSON values.
        masks: Masks on the volume's grid by their words, for a segmentation.
        write: Writes the one file of a format that is no DICOM; None writes the volume in canonical axes.
    """
    if path.name.lower().endswith(WRITABLE):
        write_atomically(path, write or (lambda partial: write_ct(partial, volume, description=mark)))
        return describe_file(path)
    from medsyn2.dicom.ct_image import MadeBy  # imports pydicom
    from medsyn2.dicom.writing import write_folder, write_zip

    made_by = MadeBy(model, _without_text(recipe), f"seed {recipe['seed']}")
    if path.name.lower().endswith(ARCHIVE):
        write_atomically(path, lambda partial: write_zip(partial, volume, masks, made_by))
        return describe_file(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        write_folder(partial, volume, masks, made_by)
        if path.exists():  # an earlier volume of this name, as `check_output` has made sure
            shutil.rmtree(path)
        partial.replace(path)
        sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return describe_file(path)


def describe_file(path: Path) -> dict[str, str]:
    """Return the name and the hash of a volume's file or folder, for its sidecar."""
    return {"file": path.name, "sha256": hash_of(path)}


def hash_of(path: Path) -> str:
    """Return a hash of a file's bytes, of a header's with its voxels', or of all files of a folder."""
    several = path.is_dir() or len(volume_files(path)) > 1
    return (content_of(path) or "") if several else sha256_of(path)


def _without_text(recipe: Mapping[str, Any]) -> str:
    report = recipe.get("report")
    hashed = None if report is None else hashlib.sha256(str(report).encode()).hexdigest()
    kept = {name: value for name, value in recipe.items() if name not in ("report", "before", "notes", "mask")}
    return canonical_json(kept | {"report_sha256": hashed})
