"""A volume of a set, as a file."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medsyn2.ct.hounsfield.padding import without_padding
from medsyn2.ct.volume import CTVolume, Spacing
from medsyn2.errors import CaseError
from medsyn2.facts import Padding
from medsyn2.formats import read_ct
from medsyn2.integrity import verify
from medsyn2.pipeline.volume_output import hash_of


@dataclass(frozen=True)
class VolumeFile:
    """One volume of a set."""

    id: str  # Its name within the set
    patient: str  # Its patient, or the one whose report or mask it was generated from
    path: Path  # The file, or the folder of DICOM slices, in HU
    # Spacing (depth, height, width) that replaces a wrong one of the header
    spacing_mm: Spacing | None = None
    # Padding that is read as air; None where there is none
    padding: tuple[Padding, ...] | None = None
    # Of the file, where a record has it: hashing the volumes of a large cohort takes an hour
    sha256: str | None = field(default=None, compare=False)

    def read(self) -> CTVolume:
        """Read the volume, with air in the place of padding, and with the stated spacing if there is one.

        Raises:
            IntegrityError: If a record has its sha256 and the file another.
            CaseError: If it cannot be read; the message has its path, not its name alone.
        """
        if self.sha256 is not None:
            verify(self.path, self.sha256, self.path.parent.parent.with_suffix(".json"))
        try:
            volume = read_ct(self.path)
        except CaseError as error:
            told = f"{self.path}: {error.message.removeprefix(f'{self.path.name}: ')}"
            raise type(error)(told, code=error.code, remedy=error.remedy) from error
        hu = without_padding(volume.hu, self.padding)
        if self.spacing_mm is None:
            return CTVolume(hu, volume.affine_mm)
        affine = volume.affine_mm.copy()
        affine[:3, :3] *= np.array(self.spacing_mm) / volume.spacing_mm
        return CTVolume(hu, affine)

    def digest(self) -> str:
        """Return the sha256 of the file, or a hash of all files that hold the volume."""
        return self.sha256 or hash_of(self.path)
