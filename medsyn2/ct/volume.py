"""A CT and a label map, each inseparable from its geometry.

In memory every volume is canonical: the array axes are (depth, height, width) and run from inferior to
superior, from anterior to posterior and from right to left, as exactly as a permutation and flips can make
them. ``affine_mm`` takes the array index (depth, height, width, 1) to world millimetres (x, y, z, 1) in the
LPS frame of DICOM and ITK: x grows to the patient's left, y to posterior, z to superior. A volume whose axes
are the world's has the affine

    [[0, 0, sw, x0], [0, sh, 0, y0], [sd, 0, 0, z0], [0, 0, 0, 1]].

``ct/nifti.py`` is the only place that converts from and to files and their RAS frame.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Num, Shaped

from medsyn2.errors import GeometryError

Affine = Float[np.ndarray, "4 4"]
Spacing = tuple[float, float, float]
Shape = tuple[int, int, int]


def checked_affine(affine_mm: Affine) -> Affine:
    """Return a float64 copy of `affine_mm`, refusing one that is no affine of a volume.

    Raises:
        GeometryError: If it is not 4 x 4, not finite or singular.
    """
    affine = np.array(affine_mm, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
        raise GeometryError(
            f"Expected a finite, invertible 4 x 4 affine, got {affine.tolist()}.",
            code="affine-degenerate",
            remedy="repair the header of the file, or give its spacing in a metadata table.",
        )
    return affine


def spacing_of(affine_mm: Affine) -> Spacing:
    """Return the voxel spacing (depth, height, width) in mm: the norms of the affine's columns."""
    depth, height, width = np.linalg.norm(affine_mm[:3, :3], axis=0)
    return float(depth), float(height), float(width)


@dataclass(frozen=True)
class CTVolume:
    """A CT in Hounsfield units with its geometry.

    Attributes:
        hu: Voxels, (depth, height, width), int16 or a float type.
        affine_mm: Array index to LPS world in mm, see the module docstring.
    """

    hu: Num[np.ndarray, "d h w"]
    affine_mm: Affine

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine_mm", checked_affine(self.affine_mm))

    @property
    def shape(self) -> Shape:
        depth, height, width = self.hu.shape
        return depth, height, width

    @property
    def grid(self) -> "Grid":
        return Grid(self.shape, self.affine_mm)

    @property
    def spacing_mm(self) -> Spacing:
        return spacing_of(self.affine_mm)


@dataclass(frozen=True)
class LabelMap:
    """An integer label for each voxel, with the meaning of each label and the geometry.

    Attributes:
        labels: Voxels, (depth, height, width), an unsigned integer or bool type; 0 is background.
        affine_mm: Array index to LPS world in mm.
        names: Label to name, without the background. A binary mask has ``{1: name}``.
    """

    labels: Shaped[np.ndarray, "d h w"]
    affine_mm: Affine
    names: Mapping[int, str] = field(default_factory=lambda: {1: "mask"})

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine_mm", checked_affine(self.affine_mm))

    @property
    def shape(self) -> Shape:
        depth, height, width = self.labels.shape
        return depth, height, width

    @property
    def grid(self) -> "Grid":
        return Grid(self.shape, self.affine_mm)

    @property
    def spacing_mm(self) -> Spacing:
        return spacing_of(self.affine_mm)

    def binary(self, name: str | None = None) -> Shaped[np.ndarray, "d h w"]:
        """Return where the label called `name` is, or any label if no name is given."""
        if name is None:
            return self.labels != 0
        wanted = [label for label, known in self.names.items() if known == name]
        if not wanted:
            raise KeyError(f"no label {name!r}; this map has {sorted(self.names.values())}")
        return np.isin(self.labels, wanted)


@dataclass(frozen=True)
class Grid:
    """Where voxels are, without their values: the shape and the affine of a volume."""

    shape: Shape
    affine_mm: Affine

    @property
    def spacing_mm(self) -> Spacing:
        return spacing_of(self.affine_mm)


def axis_aligned_affine(spacing_mm: Spacing, first_voxel_mm: tuple[float, float, float]) -> Affine:
    """Return the affine of a grid along the world's axes.

    Args:
        spacing_mm: Spacing (depth, height, width).
        first_voxel_mm: World position (x, y, z) of the centre of voxel (0, 0, 0).
    """
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm
    affine[:3, 3] = first_voxel_mm
    affine[3, 3] = 1.0
    return affine
