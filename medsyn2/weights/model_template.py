"""The template in the folder of a model: its CT and its lungs, at the registration's working spacing.

    template.nii.gz        the CT, int16 HU
    template_lungs.nii.gz  1 the left lung, 2 the right lung

``model.json`` holds the settings of the registration beside them. Models that were converted, and those of earlier
versions, have no template; they know no place for a real CT.
"""

from functools import partial
from pathlib import Path

from medsyn2.config import RegisterConfig
from medsyn2.ct.lungs import LUNG_NAMES
from medsyn2.ct.nifti.files import read_ct, read_labels, write_ct, write_labels
from medsyn2.ct.registration.affine import ChestCT
from medsyn2.ct.registration.reference import Reference
from medsyn2.files import write_atomically
from medsyn2.weights.model_folder import ModelDescription

TEMPLATE, TEMPLATE_LUNGS = "template.nii.gz", "template_lungs.nii.gz"


def write_reference(folder: Path, chest: ChestCT) -> None:
    """Write the template into a model's folder, before its description."""
    volume, lungs = chest.volume, chest.lungs
    write_atomically(folder / TEMPLATE, partial(write_ct, volume=volume, description="template"))
    write_atomically(folder / TEMPLATE_LUNGS, partial(write_labels, label_map=lungs, description="template"))


def read_reference(folder: Path, description: ModelDescription) -> Reference | None:
    """Read the template of a model; None if it has none."""
    if description.register is None:
        return None
    lungs = read_labels(folder / TEMPLATE_LUNGS, LUNG_NAMES)
    settings = RegisterConfig(**description.register)
    return Reference(ChestCT(read_ct(folder / TEMPLATE), lungs), settings)
