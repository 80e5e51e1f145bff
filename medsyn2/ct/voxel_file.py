"""A file of voxels whose bytes are sound, whatever its format, before its place in space is decided.

Every reader of a format ends here, so that one code turns voxels and an affine into a canonical CT, a label map or a
mask. The voxels lie along the file's own axes (i, j, k); the affine takes (i, j, k, 1) to LPS millimetres.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Num
from nibabel.orientations import aff2axcodes

from medsyn2.ct.affines import RAS_TO_LPS, Affine
from medsyn2.ct.geometry import canonical
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import MaskError
from medsyn2.vocabulary import SYNTHETIC

log = logging.getLogger(__name__)

_FEW_LABELS = 16
"""Labels that are sought one by one, each in a hundredth of the time that counting all of them takes."""


@dataclass(frozen=True)
class VoxelFile(ABC):
    """The voxels of a file, and its place in space if it names one."""

    name: str  # The file's name, for messages
    # Voxels along the file's axes, scaled as the file says; int16 where they fit, else int32 or float32
    values: Num[np.ndarray, "i j k"]
    notes: tuple[str, ...]  # What is unusual and was accepted
    description: str  # The text that the writing program left; starts with `SYNTHETIC` if a model made the volume

    @abstractmethod
    def affine(self) -> tuple[Affine, tuple[str, ...]]:
        """Return the affine from (i, j, k) to LPS mm, and the repairs.

        Raises:
            GeometryError: If the position in space is missing, impossible or ambiguous.
        """

    @property
    def is_synthetic(self) -> bool:
        """Whether the file says of itself that a model made it."""
        return self.description.startswith(SYNTHETIC)

    def ct(self, affine_mm: Affine) -> CTVolume:
        """Return the canonical CT that lies where `affine_mm`, from (i, j, k) to LPS, puts it."""
        return CTVolume(*canonical(self.values, affine_mm), self.is_synthetic)

    def read_ct(self, affine_mm: Affine | None = None) -> CTVolume:
        """Return the canonical CT where the file says that it lies, or `affine_mm`; log the notes."""
        affine, repairs = (affine_mm, ()) if affine_mm is not None else self.affine()
        self._log(repairs)
        return self.ct(affine)

    def read_labels(self, names: Mapping[int, str] | None = None) -> LabelMap:
        """Return the label map; `medsyn2.formats.read_labels` has the arguments and errors."""
        values = self.values
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
            raise MaskError(
                f"{self.name}: expected whole labels from 0 to 65535, got {values.dtype.name} values from "
                f"{values.min():g} to {values.max():g}.",
                code="labels-not-labels",
                remedy="give a label map, not an image or a probability; a soft mask is thresholded first.",
            )
        found = _labels_in(values)
        if names is None:
            names = {1: "mask"} if found in ([], [1]) else {label: str(label) for label in found}
        unknown = sorted(set(found) - set(names))
        if unknown:
            raise MaskError(
                f"{self.name}: expected the labels {sorted(names)}, got also {unknown[:10]}.",
                code="labels-unknown",
                remedy="the file is of another tool or version than its names; give the names that belong to it.",
            )
        affine, repairs = self.affine()
        self._log(repairs)
        smallest = np.uint8 if not found or found[-1] < 256 else np.uint16
        labels, affine = canonical(values.astype(smallest), affine)
        return LabelMap(labels, affine, dict(names))

    def _log(self, repairs: tuple[str, ...]) -> None:
        for note in (*self.notes, *repairs):
            log.warning("%s: %s", self.name, note)


def orientation_of(affine_mm: Affine) -> str:
    """Return where an array's axes point to, such as ``LPS`` for left, posterior, superior."""
    return "".join(aff2axcodes(RAS_TO_LPS @ affine_mm))


def _labels_in(values: Num[np.ndarray, "i j k"]) -> list[int]:
    """Return the labels above 0 that there are."""
    highest = int(values.max())
    if highest <= _FEW_LABELS:
        return [label for label in range(1, highest + 1) if (values == label).any()]
    return (1 + np.flatnonzero(np.bincount(values.ravel(order="K"))[1:])).tolist()
