"""The simulated scanner: field of view, table, kernel, noise, and axis order of the file.

A scan is the painted subject on the scanner's own grid with a table under it, blurred or sharpened by the
reconstruction kernel, with noise of that kernel's grain, cut by a round field of view and written in one of the axis
orders that DICOM converters produce. Spacing, slice distance, field of view, centring, kernel, dose, padding and axis
order vary from case to case.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from medsyn2.ct.volume import CTVolume, Grid, axis_aligned_affine
from medsyn2.phantoms.rendering import Phantom, render
from medsyn2.phantoms.subject import Subject, stream
from medsyn2.phantoms.wall import back_y, body_half_width_mm
from medsyn2.types import Float, Num, Shaped

ORDERS = ("LPS", "LAS", "RAS", "RPS", "LPI", "RAI")
"""Axis orders of the files as nibabel's axis codes."""
SMALLEST_HU, LARGEST_HU = -1024, 3071
TABLE_FOAM_HU, TABLE_SHELL_HU = -920.0, -350.0


@dataclass(frozen=True)
class Acquisition:
    """Settings of one scan."""

    spacing_mm: tuple[float, float, float]  # Voxel spacing (depth, height, width)
    shape: tuple[int, int, int]  # Voxels (depth, height, width)
    first_voxel_mm: tuple[float, float, float]  # World LPS of voxel (0, 0, 0)
    # Radius of the reconstructed circle, with padding outside; None reconstructs the square
    round_radius_mm: float | None
    padding_hu: int  # Value outside the circle
    noise_hu: float  # Standard deviation of the noise in soft tissue
    sharpness: float  # Reconstruction kernel: below 0 smooth, above 0 edge-enhancing
    table: bool  # Whether the table is inside the field of view
    order: str  # Axis order of the file
    stored_intercept: int  # Rescale intercept of the file's stored values

    @property
    def grid(self) -> Grid:
        """The scanner's grid."""
        return Grid(self.shape, axis_aligned_affine(self.spacing_mm, self.first_voxel_mm))

    @property
    def centre_mm(self) -> tuple[float, float]:
        """World (x, y) of the middle of the field of view."""
        (_, sh, sw), (_, height, width), (x, y, _) = self.spacing_mm, self.shape, self.first_voxel_mm
        return x + sw * (width - 1) / 2, y + sh * (height - 1) / 2


def draw_acquisition(subject: Subject, spacing_mm: float) -> Acquisition:
    """Draw the scan settings of a subject; its in-plane spacing lies within 15 % of `spacing_mm`."""
    rng = stream(subject.seed, subject.index, "acquisition")
    anatomy = subject.anatomy
    in_plane = float(spacing_mm * rng.uniform(0.85, 1.15))
    slices = float(spacing_mm * rng.uniform(1.0, 1.35))
    body = 2 * body_half_width_mm(anatomy)
    fov = float(np.clip(body * rng.uniform(0.98, 1.2), 300.0, 500.0))
    matrix = int(np.ceil(fov / in_plane / 2) * 2)
    low = min(anatomy.dome_z_mm) - max(anatomy.sulcus_mm) - 70 * anatomy.dome_tilt - rng.uniform(6, 30)
    high = max(anatomy.apex_z_mm) + rng.uniform(14, 34)
    x, y, z = subject.pose.carina_mm
    half = in_plane * (matrix - 1) / 2
    first = (x + float(rng.normal(0, 6)) - half, y + float(rng.normal(8, 6)) - half, z + float(low))
    is_round = bool(rng.random() < 0.75)
    return Acquisition(
        spacing_mm=(slices, in_plane, in_plane),
        shape=(int(np.ceil((high - low) / slices)), matrix, matrix),
        first_voxel_mm=first,
        round_radius_mm=half + in_plane / 2 if is_round else None,
        padding_hu=int(rng.choice([-1024, -2000, -3024])),
        noise_hu=float(rng.uniform(8, 24)),
        sharpness=float(rng.uniform(-0.6, 0.7)),
        table=bool(rng.random() < 0.9),
        order=str(rng.choice(ORDERS)),
        stored_intercept=int(rng.choice([0, 0, 0, -1024])),
    )


def scan(subject: Subject, acquisition: Acquisition) -> Phantom:
    """Paint a subject on the scanner's grid and add table, kernel, noise and padding.

    Returns:
        The volume in canonical axes, int16, and the truth on the same grid.
    """
    painted = render(subject, acquisition.grid)
    hu = painted.volume.hu.astype(np.float32)
    if acquisition.table:
        _add_table(subject, acquisition, hu)
    rng = stream(subject.seed, subject.index, "noise")
    hu = _kernel(hu, acquisition) + _noise(hu, acquisition, rng)
    hu = np.clip(np.rint(hu), SMALLEST_HU, LARGEST_HU).astype(np.int16)
    if acquisition.round_radius_mm is not None:
        hu[:, _outside_circle(acquisition)] = acquisition.padding_hu
    return Phantom(CTVolume(hu, acquisition.grid.affine_mm), painted.truth)


def _plane(acquisition: Acquisition) -> tuple[Float[np.ndarray, "1 w"], Float[np.ndarray, "h 1"]]:
    """Return x of the columns and y of the rows, in world mm."""
    (_, sh, sw), (_, height, width), (x, y, _) = (acquisition.spacing_mm, acquisition.shape, acquisition.first_voxel_mm)
    return (x + sw * np.arange(width))[None], (y + sh * np.arange(height))[:, None]


def _outside_circle(acquisition: Acquisition) -> Shaped[np.ndarray, "h w"]:
    x, y = _plane(acquisition)
    centre_x, centre_y = acquisition.centre_mm
    return np.hypot(x - centre_x, y - centre_y) > acquisition.round_radius_mm


def _add_table(subject: Subject, acquisition: Acquisition, hu: Num[np.ndarray, "d h w"]) -> None:
    """Add a curved table of foam in a carbon shell, where there is only air."""
    x, y = _plane(acquisition)
    carina_x, carina_y, _ = subject.pose.carina_mm
    top = carina_y + back_y(subject.anatomy) + 9.0 - 0.00055 * (x - carina_x) ** 2
    inside = np.abs(x - carina_x) < 205.0
    edge = acquisition.spacing_mm[1]
    depth = y - top
    foam = np.clip(np.minimum(depth, 34.0 - depth) / edge + 0.5, 0, 1) * inside
    shell = np.clip(1.5 / edge, 0, 1) * (
        np.clip(1 - np.abs(depth) / edge, 0, 1) + np.clip(1 - np.abs(depth - 34.0) / edge, 0, 1)
    )
    table = -1000.0 + foam * (TABLE_FOAM_HU + 1000.0) + inside * shell * (TABLE_SHELL_HU + 1000.0)
    np.maximum(hu, table.astype(np.float32), out=hu)


def _kernel(hu: Float[np.ndarray, "d h w"], acquisition: Acquisition) -> Float[np.ndarray, "d h w"]:
    """Blur or sharpen each slice."""
    if acquisition.sharpness < 0:
        return gaussian_filter(hu, (0, -acquisition.sharpness, -acquisition.sharpness))
    blurred = gaussian_filter(hu, (0, 0.8, 0.8))
    return hu + np.float32(0.6 * acquisition.sharpness) * (hu - blurred)


def _noise(
    hu: Float[np.ndarray, "d h w"], acquisition: Acquisition, rng: np.random.Generator
) -> Float[np.ndarray, "d h w"]:
    """Return noise with the kernel's grain, without zero frequency and weaker in the lungs."""
    white = rng.standard_normal(hu.shape, dtype=np.float32)
    grain = 0.95 - 0.35 * acquisition.sharpness
    correlated = gaussian_filter(white, (0.35, 0.55 * grain, 0.55 * grain))
    correlated -= 0.6 * gaussian_filter1d(gaussian_filter1d(correlated, 1.6 * grain, axis=1), 1.6 * grain, axis=2)
    sd = float(correlated.std()) or 1.0
    local = np.clip(0.75 + hu * np.float32(0.00025), 0.45, 1.1)
    return correlated * np.float32(acquisition.noise_hu / sd) * local


def write_scan(path: Path, volume: CTVolume, acquisition: Acquisition) -> None:
    """Write a scan as int16 NIfTI in the acquisition's axis order; gzip without a date, so that bytes repeat."""
    stored = (volume.hu - np.int16(acquisition.stored_intercept)).astype(np.int16)
    _write_ordered(path, stored, volume.affine_mm, acquisition)


def write_truth(path: Path, labels: Shaped[np.ndarray, "d h w"], volume: CTVolume, acquisition: Acquisition) -> None:
    """Write a label map in the axis order of its scan."""
    _write_ordered(path, labels.astype(np.uint8), volume.affine_mm, acquisition)


def _write_ordered(
    path: Path, array: Num[np.ndarray, "d h w"], affine_mm: Float[np.ndarray, "4 4"], acquisition: Acquisition
) -> None:
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    swap = np.eye(4)[:, [2, 1, 0, 3]]
    image = nib.Nifti1Image(array.transpose(2, 1, 0), to_ras @ affine_mm @ swap)
    now = nib.orientations.io_orientation(image.affine)
    wanted = nib.orientations.axcodes2ornt(acquisition.order)
    image = image.as_reoriented(nib.orientations.ornt_transform(now, wanted))
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    image.header.set_xyzt_units("mm")
    if array.dtype == np.int16:
        image.header.set_slope_inter(1.0, float(acquisition.stored_intercept))
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=3, mtime=0) as packed:
        packed.write(image.to_bytes())
