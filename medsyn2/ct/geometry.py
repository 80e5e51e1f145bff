"""Geometry: canonical axes, exchange with SimpleITK, and resampling.

One permutation and flips make an array canonical: (depth, height, width) from inferior to superior, anterior to
posterior and right to left. The voxels keep their world positions, so an oblique acquisition stays oblique.
Everything else goes through ITK, whose images share the frame (LPS mm) and reverse the index order, to (x, y, z).

A transform ``grid_to_source_lps_mm`` is a 4 x 4 matrix from a world point of the target grid to the matching world
point of the source (ITK's fixed to moving). A composed transform still costs only ONE interpolation.

Linear interpolation reads the eight nearest voxels, so it aliases when the grid is coarser than the source.
`band_limit` prevents that: it averages and smooths the source to the resolution that the grid can carry.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import SimpleITK as sitk
from jaxtyping import Bool, Shaped
from nibabel.orientations import io_orientation
from scipy import ndimage

from medsyn2.ct.affines import orthonormalize as orthonormalize
from medsyn2.ct.affines import shear_of as shear_of
from medsyn2.ct.morphology import Box, bounding_box
from medsyn2.ct.volume import Affine, CTVolume, Grid, LabelMap, Spacing


def canonical_axes(affine_mm: Affine) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return the axes of an array in the order (depth, height, width), and whether to flip each of them."""
    nearest = io_orientation(affine_mm)
    axis_of_world = np.argsort(nearest[:, 0])
    order = tuple(int(axis) for axis in axis_of_world[::-1])
    flips = tuple(bool(nearest[axis, 1] < 0) for axis in order)
    return (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])


def canonical(array: Shaped[np.ndarray, "i j k"], affine_mm: Affine) -> tuple[Shaped[np.ndarray, "d h w"], Affine]:
    """Permute and flip an array into canonical axes, and adapt its affine (index to LPS world); returns both."""
    order, flips = canonical_axes(affine_mm)
    from_canonical = np.zeros((4, 4))
    from_canonical[3, 3] = 1.0
    for new_axis, (old_axis, flip) in enumerate(zip(order, flips, strict=True)):
        from_canonical[old_axis, new_axis] = -1.0 if flip else 1.0
        from_canonical[old_axis, 3] = array.shape[old_axis] - 1.0 if flip else 0.0
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips)
    return np.ascontiguousarray(array.transpose(order)[steps]), affine_mm @ from_canonical


def to_sitk(volume: CTVolume | LabelMap) -> sitk.Image:
    """Convert a volume to an ITK image with the same world positions; bool becomes uint8."""
    voxels = volume.hu if isinstance(volume, CTVolume) else volume.labels
    image = sitk.GetImageFromArray(voxels.astype(np.uint8) if voxels.dtype == bool else voxels)
    spacing, direction, origin = _itk_frame(volume.affine_mm)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin(origin)
    return image


def _itk_frame(affine_mm: Affine) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    by_index = affine_mm[:3, 2::-1]  # columns in ITK's index order: width, height, depth
    spacing = np.linalg.norm(by_index, axis=0)
    return spacing.tolist(), (by_index / spacing).ravel().tolist(), affine_mm[:3, 3].tolist()


def _resample(
    image: sitk.Image, grid: Grid, grid_to_source_lps_mm: Affine | None, how: int, outside: float, pixel: int
) -> sitk.Image:
    matrix = np.eye(4) if grid_to_source_lps_mm is None else np.asarray(grid_to_source_lps_mm, dtype=np.float64)
    transform = sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    spacing, direction, origin = _itk_frame(grid.affine_mm)
    size = [int(n) for n in grid.shape[::-1]]
    return sitk.Resample(image, size, transform, how, origin, spacing, direction, outside, pixel)


def resample_ct(
    volume: CTVolume, grid: Grid, grid_to_source_lps_mm: Affine | None = None, *, outside_hu: float = -1024
) -> CTVolume:
    """Resample a CT to a grid in one linear interpolation, rounded to whole HU (int16).

    Args:
        grid_to_source_lps_mm: World of the grid to world of the source; None is the identity.
        outside_hu: Value of grid voxels outside the source.
    """
    # In floats: to integers ITK truncates, which is half a HU too low on average.
    image = _resample(to_sitk(volume), grid, grid_to_source_lps_mm, sitk.sitkLinear, outside_hu, sitk.sitkFloat32)
    hu = np.empty(grid.shape, dtype=np.int16)
    for target, source in zip(hu, sitk.GetArrayViewFromImage(image), strict=True):  # No second volume in floats.
        target[...] = np.clip(np.rint(source), -32768, 32767)
    return CTVolume(hu, grid.affine_mm, volume.is_synthetic)


def resample_mask(
    mask: LabelMap, grid: Grid, grid_to_source_lps_mm: Affine | None = None, threshold: float = 0.5
) -> Bool[np.ndarray, "d h w"]:
    """Resample a mask by linear interpolation of its 0/1 indicator and a threshold.

    On nodules of 3 to 10 mm this keeps a Dice of 0.957, the nearest neighbour 0.931.

    Args:
        grid_to_source_lps_mm: World of the grid to world of the source; None is the identity.
    """
    result = np.zeros(grid.shape, dtype=bool)
    box, inside = resample_mask_in_box(mask, grid, grid_to_source_lps_mm, threshold)
    result[box] = inside
    return result


def resample_mask_in_box(
    mask: LabelMap, grid: Grid, grid_to_source_lps_mm: Affine | None = None, threshold: float = 0.5
) -> tuple[Box, Bool[np.ndarray, "d h w"]]:
    """Return the box of the grid that a mask can reach, and `resample_mask` in that box; outside is background."""
    indicator = mask.binary()
    source = bounding_box(indicator, 2)
    part = LabelMap(indicator[source], grid_of_box(mask.grid, source).affine_mm)
    box = _reach(part.grid, grid, grid_to_source_lps_mm) if indicator.any() else _NOWHERE
    target = grid_of_box(grid, box)
    if 0 in target.shape:
        return box, np.zeros(target.shape, dtype=bool)
    image = _resample(to_sitk(part), target, grid_to_source_lps_mm, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return box, sitk.GetArrayViewFromImage(image) > threshold


_NOWHERE: Box = (slice(0, 0), slice(0, 0), slice(0, 0))


def grid_of_box(grid: Grid, box: Box) -> Grid:
    """Return the part of a grid in a box of its voxels."""
    spans = [range(length)[span] for length, span in zip(grid.shape, box, strict=True)]
    shift = np.eye(4)
    shift[:3, 3] = [span.start for span in spans]
    return Grid((len(spans[0]), len(spans[1]), len(spans[2])), grid.affine_mm @ shift)


def _reach(source: Grid, grid: Grid, grid_to_source_lps_mm: Affine | None) -> Box:
    """Return the box of the voxels of `grid` that lie in `source`, to its voxels' edges."""
    to_source = np.eye(4) if grid_to_source_lps_mm is None else grid_to_source_lps_mm
    to_grid = np.linalg.inv(to_source @ grid.affine_mm) @ source.affine_mm
    corners = np.array(list(product(*((-0.5, length - 0.5) for length in source.shape))))
    index = corners @ to_grid[:3, :3].T + to_grid[:3, 3]
    low = np.clip(np.floor(index.min(axis=0)), 0, grid.shape).astype(int).tolist()
    high = np.clip(np.ceil(index.max(axis=0)) + 1, 0, grid.shape).astype(int).tolist()
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def nearest_labels(label_map: LabelMap, grid: Grid, grid_to_source_lps_mm: Affine | None = None) -> LabelMap:
    """Resample a label map by nearest neighbour; outside the source is background."""
    image = to_sitk(label_map)
    moved = _resample(image, grid, grid_to_source_lps_mm, sitk.sitkNearestNeighbor, 0.0, image.GetPixelID())
    return LabelMap(sitk.GetArrayFromImage(moved), grid.affine_mm, label_map.names)


def band_limit(volume: CTVolume, spacing_mm: Spacing) -> CTVolume:
    """Remove the detail that a grid of `spacing_mm` cannot carry, so that sampling the result does not alias.

    Blocks of as many voxels as fit into the coarser spacing are averaged, which coarsens the grid; the remaining ratio
    k, below 2, is smoothed by a Gaussian of variance (k^2 - 1) / (8 ln 2) voxels. A finer spacing changes nothing.

    Args:
        spacing_mm: Target spacing (depth, height, width) along the volume's own axes.

    Source: Cardoso et al., "Scale factor point spread function matching", MICCAI 2015, equation 3.
    """
    factors = [max(1, int(n)) for n in np.floor(np.array(spacing_mm) / volume.spacing_mm + 1e-6)]
    factors = [min(factor, size) for factor, size in zip(factors, volume.shape, strict=True)]
    hu, affine = volume.hu, volume.affine_mm
    if max(factors) > 1:
        binned = sitk.BinShrink(to_sitk(volume), factors[::-1])
        hu = sitk.GetArrayFromImage(binned)
        to_fine = np.diag([*factors, 1.0])
        to_fine[:3, 3] = (np.array(factors) - 1) / 2
        affine = affine @ to_fine
    coarse = CTVolume(hu, affine, volume.is_synthetic)
    ratio = np.maximum(np.array(spacing_mm) / coarse.spacing_mm, 1.0)
    sigma = np.sqrt((ratio**2 - 1) / (8 * np.log(2)))
    if sigma.max() < 0.1:
        return coarse
    smooth = ndimage.gaussian_filter(hu, sigma, output=np.float32, mode="nearest", truncate=3.0)
    return CTVolume(np.rint(smooth).astype(np.int16), affine, volume.is_synthetic)


def isotropic(volume: CTVolume, spacing_mm: float) -> CTVolume:
    """Resample a CT without aliasing to an isotropic grid along its own axes.

    The result is int16; its box has the same centre and differs by at most half a voxel on each side.
    """
    size_mm = np.array(volume.shape) * volume.spacing_mm
    shape = np.maximum(1, np.rint(size_mm / spacing_mm)).astype(int)
    scale = spacing_mm / np.array(volume.spacing_mm)
    to_source = np.diag([*scale, 1.0])
    to_source[:3, 3] = (np.array(volume.shape) - 1) / 2 - scale * (shape - 1) / 2
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), volume.affine_mm @ to_source)
    source = band_limit(volume, (spacing_mm, spacing_mm, spacing_mm))
    return _edge_replicated(source, grid)


def _edge_replicated(source: CTVolume, grid: Grid) -> CTVolume:
    """Resample, and repeat the edge where the grid exceeds the source by less than a coarse voxel."""
    padded = np.pad(source.hu, 2, mode="edge")
    shift = np.eye(4)
    shift[:3, 3] = -2.0
    return resample_ct(CTVolume(padded, source.affine_mm @ shift, source.is_synthetic), grid)
