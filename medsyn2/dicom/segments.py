"""The segments of a DICOM segmentation (SEG) as masks.

Each segment comes by itself, because segments may overlap. Frames that a segmentation leaves out are empty; fractional
segments are cut at one half.

Source: DICOM PS3.3, A.51 (Segmentation IOD).
"""

from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
from pydicom import dcmread

from medsyn2.ct.affines import accept_affine
from medsyn2.ct.geometry import canonical
from medsyn2.ct.nifti.header import MAX_VOXELS
from medsyn2.ct.volume import LabelMap
from medsyn2.dicom.segmentation import require_highdicom
from medsyn2.errors import MaskError, MedSyn2Error, reason

MAX_SEGMENTS = 64
_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage, and Label Map Segmentation Storage."""
_HALF = 0.5


def is_segmentation(path: Path) -> bool:
    """Return whether a DICOM file is a segmentation."""
    try:
        with catch_warnings():
            simplefilter("ignore")
            found = dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"], force=True)
    except Exception:  # noqa: BLE001  # of pydicom: anything, for bytes that are anything
        return False
    return str(found.get("SOPClassUID", "")) in _STORAGE


def read_segments(path: Path) -> dict[str, LabelMap]:
    """Return the mask of each segment by its label, in LPS and canonical axes.

    Raises:
        MaskError: If the file is no segmentation that can be read, or has too many segments.
        GeometryError: If its frames have no place in space.
        EnvironmentFault: If highdicom is not installed.
    """
    require_highdicom()
    from highdicom.seg import segread

    try:
        found = segread(path)
        numbers = list(found.segment_numbers)
        if not 1 <= len(numbers) <= MAX_SEGMENTS:
            raise ValueError(f"{len(numbers)} segments, from 1 to {MAX_SEGMENTS} are read")
        masks: dict[str, LabelMap] = {}
        for number in numbers:
            volume = found.get_volume(segment_numbers=[number], rescale_fractional=True)
            if np.prod(volume.spatial_shape) > MAX_VOXELS:
                raise ValueError(f"a volume of {volume.spatial_shape}")
            affine, _ = accept_affine(np.array(volume.affine), path.name)
            inside, affine = canonical(np.asarray(volume.array)[..., 0] > _HALF, affine)
            label = str(found.get_segment_description(number).segment_label)
            masks[label if label not in masks else f"{label} {number}"] = LabelMap(inside, affine, {1: label})
    except MedSyn2Error:
        raise
    except Exception as error:  # of highdicom and pydicom: anything, for bytes that are anything
        raise MaskError(
            f"{path.name}: expected a DICOM segmentation, got: {reason(error)}.",
            code="segmentation-unreadable",
            remedy="give a SEG file, or save the mask as NIfTI.",
        ) from error
    return masks
