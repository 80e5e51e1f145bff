"""A CT and a label map, each inseparable from its geometry.

In memory every volume is canonical: the array axes are (depth, height, width) and run from inferior to superior, from
anterior to posterior and from right to left, as exactly as a permutation and flips can make them. ``affine_mm`` takes
the array index (depth, height, width, 1) to world millimetres (x, y, z, 1) in the LPS frame of DICOM and ITK: x grows
to the patient's left, y to posterior, z to superior. A volume whose axes are the world's has the affine

    [[0, 0, sw, x0], [0, sh, 0, y0], [sd, 0, 0, z0], [0, 0, 0, 1]].

``ct/nifti`` is the only place that converts from and to files and their RAS frame.

Two volumes, maps or grids are equal if their voxels and their affines are, exactly; types of numbers do not count.
Their arrays can change, so that none of them can be hashed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Num, Shaped

from medsyn2.ct.affines import Affine, Shape, Spacing, axis_aligned_affine, check_affine, spacing_of
from medsyn2.errors import ConfigError, GeometryError, InvalidVolumeError, MaskError
from medsyn2.vocabulary import SYNTHETIC, WINDOWS_HU, Window

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

__all__ = [
    "Affine",
    "CTVolume",
    "Grid",
    "LabelMap",
    "Shape",
    "Spacing",
    "axis_aligned_affine",
    "check_affine",
    "spacing_of",
]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where voxels are, without their values: the shape and the affine of a volume.

    Attributes:
        shape: Voxels (depth, height, width).
        affine_mm: Array index (depth, height, width, 1) to LPS world (x, y, z, 1) in mm.
    """

    shape: Shape
    affine_mm: Affine

    __hash__ = None  # type: ignore[assignment]

    @property
    def spacing_mm(self) -> Spacing:
        """Distance of neighbouring voxels (depth, height, width) in mm."""
        return spacing_of(self.affine_mm)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        return tuple(self.shape) == tuple(other.shape) and np.array_equal(self.affine_mm, other.affine_mm)

    def __repr__(self) -> str:
        return f"Grid({_size(self)})"


@dataclass(frozen=True, eq=False, repr=False)
class CTVolume:
    """A CT in Hounsfield units with its geometry.

    Attributes:
        hu: Voxels, (depth, height, width), int16 or a float type. They run from inferior to superior, from
            anterior to posterior and from the patient's right to the left.
        affine_mm: Array index (depth, height, width, 1) to LPS world (x, y, z, 1) in mm.
        is_synthetic: Whether a model made it or a part of it, which its pictures say. It counts for no comparison.

    Raises:
        InvalidVolumeError: If `hu` is no array of real numbers with three axes.
        GeometryError: If `affine_mm` is no affine of a volume.
    """

    hu: Num[np.ndarray, "d h w"]
    affine_mm: Affine
    is_synthetic: bool = False

    __hash__ = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine_mm", check_affine(self.affine_mm))
        if not isinstance(self.hu, np.ndarray) or self.hu.ndim != 3 or self.hu.dtype.kind not in "iuf":
            raise InvalidVolumeError(
                f"hu: expected an array of real numbers (depth, height, width), got {_kind(self.hu)}.",
                code="volume-array",
                remedy="give a three-dimensional NumPy array of HU, or read a file with read_ct(path).",
            )

    @property
    def shape(self) -> Shape:
        """Voxels (depth, height, width)."""
        depth, height, width = self.hu.shape
        return depth, height, width

    @property
    def grid(self) -> Grid:
        """The shape and the affine, without the voxels."""
        return Grid(self.shape, self.affine_mm)

    @property
    def spacing_mm(self) -> Spacing:
        """Distance of neighbouring voxels (depth, height, width) in mm."""
        return spacing_of(self.affine_mm)

    def save(self, path: Path | str, *, description: str = "") -> None:
        """Write a NIfTI file, as `write_ct` does; equal volumes give equal bytes, and a synthetic one says so."""
        from medsyn2.ct.nifti.writing import write_hu

        write_hu(path, self.hu, self.affine_mm, self.mark(description))

    def mark(self, description: str) -> str:
        """Return a header's description, which begins with SYNTHETIC if a model made the volume."""
        if not self.is_synthetic or description.startswith(SYNTHETIC):
            return description
        return f"{SYNTHETIC} {description}".rstrip()

    def plot(
        self,
        *,
        window: Window | tuple[float, float] = "lung",
        contour: "LabelMap | None" = None,
        title: str | None = None,
    ) -> "Figure":
        """Draw the axial, coronal and sagittal plane, cut where the contour is largest, or in the middle.

        Args:
            window: ``lung``, ``vessel``, ``soft_tissue`` or ``bone``, or the HU that are black and white.
            contour: Labels on the same grid whose outlines are drawn, each in its colour.
            title: The line above; None describes the volume.

        Returns:
            A matplotlib figure; ``figure.savefig(path)`` writes it.

        Raises:
            ConfigError: If there is no such window.
            GeometryError: If the contour is on another grid.
        """
        from medsyn2.ct.planes import plot_planes

        if contour is not None and contour.grid != self.grid:
            raise GeometryError(
                f"expected a contour on the volume's grid {self.grid}, got {contour.grid}.",
                code="grids-differ",
                remedy="draw labels over the volume that they were made on.",
            )
        outlines = {} if contour is None else {name: contour.binary(name) for name in contour.names.values()}
        return plot_planes(self.hu, self.spacing_mm, outlines, title or repr(self), _window_hu(window))

    def niivue(self) -> "VBox":
        """Return a widget of NiiVue for notebooks, with all voxels; it needs WebGL and `medsyn2[notebook]`.

        Raises:
            EnvironmentFault: If ipyniivue is not installed.
        """
        from medsyn2.ct.niivue import show_in_niivue

        return show_in_niivue(self.save, repr(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CTVolume):
            return NotImplemented
        return self.grid == other.grid and np.array_equal(self.hu, other.hu)

    def __repr__(self) -> str:
        range_hu = f", {self.hu.min():g} to {self.hu.max():g} HU" if self.hu.size else ""
        mark = f"{SYNTHETIC}, " if self.is_synthetic else ""
        return f"CTVolume({mark}{_size(self.grid)}, {self.hu.dtype}{range_hu})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Show the volume in a notebook."""
        from medsyn2.ct.notebook import show_volume

        return show_volume(self.hu, self.spacing_mm, {}, repr(self), is_synthetic=self.is_synthetic)

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_().get("text/html", escape(repr(self)))


@dataclass(frozen=True, eq=False, repr=False)
class LabelMap:
    """An integer label for each voxel, with the meaning of each label and the geometry.

    Attributes:
        labels: Voxels, (depth, height, width), an integer or bool type; 0 is background. Whole numbers of a float
            type become uint8 or uint16.
        affine_mm: Array index (depth, height, width, 1) to LPS world (x, y, z, 1) in mm.
        names: Label to name, without the background. A binary mask has ``{1: name}``.

    Raises:
        MaskError: If `labels` is no array of whole numbers with three axes.
        GeometryError: If `affine_mm` is no affine of a volume.
    """

    labels: Shaped[np.ndarray, "d h w"]
    affine_mm: Affine
    names: Mapping[int, str] = field(default_factory=lambda: {1: "mask"})

    __hash__ = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "affine_mm", check_affine(self.affine_mm))
        object.__setattr__(self, "labels", _integer_labels(self.labels))

    @property
    def shape(self) -> Shape:
        """Voxels (depth, height, width)."""
        depth, height, width = self.labels.shape
        return depth, height, width

    @property
    def grid(self) -> Grid:
        """The shape and the affine, without the voxels."""
        return Grid(self.shape, self.affine_mm)

    @property
    def spacing_mm(self) -> Spacing:
        """Distance of neighbouring voxels (depth, height, width) in mm."""
        return spacing_of(self.affine_mm)

    def binary(self, name: str | None = None) -> Shaped[np.ndarray, "d h w"]:
        """Return where the label called `name` is, or any label if no name is given."""
        if name is None:
            return self.labels if self.labels.dtype == bool else self.labels != 0
        wanted = [label for label, known in self.names.items() if known == name]
        if not wanted:
            raise KeyError(f"no label {name!r}; this map has {sorted(self.names.values())}")
        return self.labels == wanted[0] if len(wanted) == 1 else np.isin(self.labels, wanted)

    def save(self, path: Path | str, *, description: str = "") -> None:
        """Write a NIfTI file of uint8, as `write_labels` does; equal maps give equal bytes."""
        from medsyn2.ct.nifti.writing import write_label_array

        write_label_array(path, self.labels, self.affine_mm, description)

    def plot(self, *, title: str | None = None) -> "Figure":
        """Draw the outlines of the labels in three planes; `CTVolume.plot` draws them over a CT."""
        return self._grey().plot(contour=self, title=title or repr(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelMap):
            return NotImplemented
        same = self.grid == other.grid and dict(self.names) == dict(other.names)
        return same and np.array_equal(self.labels, other.labels)

    def __repr__(self) -> str:
        shown = ", ".join(f"{label} {name}" for label, name in list(self.names.items())[:_SHOWN])
        more = ", ..." if len(self.names) > _SHOWN else ""
        share = f"{np.count_nonzero(self.labels) / max(self.labels.size, 1):.2%}"
        return f"LabelMap({_size(self.grid)}, {self.labels.dtype}, {share} labelled: {shown}{more})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Show the labels in a notebook."""
        from medsyn2.ct.notebook import show_volume

        masks = {name: self.binary(name) for name in self.names.values()}
        return show_volume(self._grey().hu, self.spacing_mm, masks, repr(self), unit="")

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_().get("text/html", escape(repr(self)))

    def _grey(self) -> CTVolume:
        """Return a volume that shows where any label is."""
        low, high = WINDOWS_HU["lung"]
        return CTVolume(np.where(self.binary(), np.int16((low + high) / 2), np.int16(low)), self.affine_mm)


_SHOWN = 5
_MAX_LABEL = 65535


def _integer_labels(labels: np.ndarray) -> np.ndarray:
    """Return labels of an integer or bool type, converted from a float type if they are whole."""
    if isinstance(labels, np.ndarray) and labels.ndim == 3:
        if labels.dtype.kind in "biu":
            return labels
        if labels.dtype.kind == "f" and bool(((labels >= 0) & (labels <= _MAX_LABEL)).all()):
            whole = labels.astype(np.uint8 if labels.size == 0 or labels.max() <= 255 else np.uint16)
            if np.array_equal(whole, labels):
                return whole
    raise MaskError(
        f"labels: expected an array of whole numbers from 0 on (depth, height, width), got {_kind(labels)}.",
        code="labels-not-labels",
        remedy="threshold a soft mask first, as in LabelMap(share > 0.5, affine_mm); read_labels(path) reads files.",
    )


def _kind(value: object) -> str:
    if not isinstance(value, np.ndarray):
        return type(value).__name__
    fractions = value.dtype.kind == "f" and value.size > 0 and not (np.rint(value) == value).all()
    return f"{'fractional ' if fractions else ''}{value.dtype} of shape {value.shape}"


def _window_hu(window: object) -> tuple[float, float]:
    if isinstance(window, str) and window in WINDOWS_HU:
        return WINDOWS_HU[window]
    if isinstance(window, tuple | list) and len(window) == 2 and window[0] < window[1]:
        return float(window[0]), float(window[1])
    raise ConfigError(
        f"window: expected one of {', '.join(WINDOWS_HU)} or a pair of HU, got {window!r}.",
        code="window-unknown",
        remedy="give a name, or the HU that are black and white, such as (-1000, 400).",
    )


def _size(grid: Grid) -> str:
    voxels = " x ".join(str(length) for length in grid.shape)
    return f"{voxels} voxels of {' x '.join(f'{size:.3g}' for size in grid.spacing_mm)} mm"
