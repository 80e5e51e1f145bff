"""A generated volume as a folder or a zip archive of DICOM files: its slices, and its masks as a segmentation."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from medsyn2.ct.volume import CTVolume
from medsyn2.dicom.ct_image import MadeBy, ct_datasets
from medsyn2.dicom.segmentation import segmentation

SEGMENTATION = "SEG.dcm"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every member: the earliest that the format has, so that the archive does not depend on when it was written."""


def dicom_files(
    volume: CTVolume, masks: Mapping[str, Bool[np.ndarray, "d h w"]], made_by: MadeBy
) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file of a volume; equal volumes give equal bytes.

    Args:
        masks: Masks on the volume's grid by their words; with none there is no segmentation.
    """
    slices = ct_datasets(volume, made_by)
    digits = max(4, len(str(len(slices))))
    for number, dataset in enumerate(slices, 1):
        yield f"CT{number:0{digits}d}.dcm", _encode(dataset)
    if masks:
        yield SEGMENTATION, _encode(segmentation(slices, masks, made_by))


def write_folder(
    folder: Path, volume: CTVolume, masks: Mapping[str, Bool[np.ndarray, "d h w"]], made_by: MadeBy
) -> None:
    """Write the files of a volume into a folder, which is made."""
    folder.mkdir(parents=True)
    for name, content in dicom_files(volume, masks, made_by):
        (folder / name).write_bytes(content)


def write_zip(path: Path, volume: CTVolume, masks: Mapping[str, Bool[np.ndarray, "d h w"]], made_by: MadeBy) -> None:
    """Write the files of a volume into an archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in dicom_files(volume, masks, made_by):
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)


def _encode(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
