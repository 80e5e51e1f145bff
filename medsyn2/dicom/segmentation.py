"""Masks as a DICOM segmentation (SEG) of the series that they lie on, one segment a structure; segments may overlap.

Structures of the vocabulary carry the codes that the standard lists (SNOMED CT and DCM); others, consolidation among
them, are coded in a scheme of this project. The colours are those of the figures. highdicom does not carry
SyntheticData over from the slices, so it is set here, and it writes the time of the moment and random UIDs, which are
replaced: a file must not depend on when it was written.

Source: DICOM PS3.3, A.51 (Segmentation IOD); PS3.16, CID 7150 and 7159.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import DA, TM

from medsyn2.dicom.ct_image import NAME, MadeBy, mark_synthetic, uid_of
from medsyn2.errors import EnvironmentFault
from medsyn2.version import __version__
from medsyn2.vocabulary import COLOURS, STRUCTURE_WORDS, Structure

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

_ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_LUNG = Code("39607008", "SCT", "Lung")
CODES: dict[Structure, tuple[Code, Code]] = {
    "lobes": (_ANATOMY, Code("31094006", "SCT", "Lobe of lung")),
    "airways": (_ANATOMY, Code("89187006", "SCT", "Airway structure")),
    "vessels": (_ANATOMY, Code("59820001", "SCT", "Blood Vessel")),
    "heart": (_ANATOMY, Code("80891009", "SCT", "Heart")),
    "nodules": (_ABNORMAL, Code("27925004", "SCT", "Nodule")),
    "ground_glass": (_ABNORMAL, Code("112120", "DCM", "Ground glass opacity")),
    "consolidation": (_ABNORMAL, Code("CONSOLIDATION", "99MEDSYN2", "Consolidation")),
    "pleural_effusion": (_ABNORMAL, Code("60046008", "SCT", "Pleural effusion")),
    "pericardial_effusion": (_ABNORMAL, Code("373945007", "SCT", "Pericardial effusion")),
}
"""Category and type of each structure."""
_IN_LUNG = ("lobes", "vessels", "nodules", "ground_glass", "consolidation")
_NO_DATE, _NO_TIME = "19000101", "000000"
"""In place of the moment of writing, where the standard does not allow an empty value."""


def segmentation(slices: Sequence[Dataset], masks: Mapping[str, Bool[np.ndarray, "d h w"]], made_by: MadeBy) -> Dataset:
    """Return the segmentation of masks on the grid of a series.

    Args:
        slices: The series, in the order of the masks' first axis.
        masks: Mask of each structure by its words, such as "lung nodules".

    Raises:
        EnvironmentFault: If highdicom is not installed.
    """
    require_highdicom()
    from highdicom.seg import Segmentation

    stacked = np.stack([mask.astype(bool) for mask in masks.values()], axis=-1)
    key = hashlib.sha256(np.packbits(stacked).tobytes()).hexdigest()
    series = slices[0].SeriesInstanceUID
    found = Segmentation(
        source_images=slices,
        pixel_array=stacked,
        segmentation_type="BINARY",
        segment_descriptions=[_describe(number, words) for number, words in enumerate(masks, 1)],
        series_instance_uid=uid_of(series, key, "segmentation series"),
        series_number=2,
        sop_instance_uid=uid_of(series, key, "segmentation"),
        instance_number=1,
        manufacturer=NAME,
        manufacturer_model_name=NAME,
        software_versions=__version__,
        device_serial_number=made_by.model[:64],
        content_label="SYNTHETIC",
        content_description="Masks of a synthetic CT",
        omit_empty_frames=bool(stacked.any()),
    )
    mark_synthetic(found, made_by)
    found.SeriesDescription = "SYNTHETIC masks"
    found.ContentDate, found.ContentTime = DA(_NO_DATE), TM(_NO_TIME)
    dimensions = uid_of(series, key, "dimensions")
    for item in (*found.DimensionOrganizationSequence, *found.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    for name in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if name in found:
            delattr(found, name)
    return found


def require_highdicom() -> None:
    """Refuse to begin without highdicom.

    Raises:
        EnvironmentFault: If it is not installed.
    """
    if find_spec("highdicom") is None:
        raise EnvironmentFault(
            "Expected highdicom, which writes masks as DICOM segmentations, got no such package.",
            code="highdicom-missing",
            remedy="install it: pip install 'medsyn2[dicom]'.",
        )


def _describe(number: int, words: str) -> "SegmentDescription":
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    structure = next((name for name, known in STRUCTURE_WORDS.items() if known == words), None)
    category, kind = CODES[structure] if structure else (_ABNORMAL, _own_code(words))
    colour = COLOURS[list(STRUCTURE_WORDS).index(structure) if structure else (number - 1) % len(COLOURS)]
    return SegmentDescription(
        segment_number=number,
        segment_label=words[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="MANUAL",  # asked for, not found in the volume
        anatomic_regions=[_LUNG] if structure in _IN_LUNG else None,
        display_color=CIELabColor.from_string(colour),
    )


def _own_code(words: str) -> Code:
    """Return a code of this project's own scheme for words that no code is known of."""
    value = re.sub(r"[^A-Z0-9]+", "_", words.upper())[:16].strip("_") or "STRUCTURE"
    return Code(value, "99MEDSYN2", words[:64])
