"""Nodules: compact bright spots in the lung, 4 to 30 mm across.

A sphere of radius r stands out in the Laplacian of Gaussian of scale r / sqrt(3), and there the second derivative is
negative in all directions alike; along a vessel it vanishes in one. At each scale the local maxima are tried: their
Hessian has to be round, and the bright region around them has to be of the sphere's size and surrounded by air.

Source: Lindeberg, "Feature detection with automatic scale selection", IJCV 1998; Frangi et al., "Multiscale vessel
enhancement filtering", MICCAI 1998, for the ratio of eigenvalues.
"""

import numpy as np
from scipy import ndimage

from medsyn2.ct.morphology import Mask, bounding_box, erode
from medsyn2.segmenters.classical.thorax import Thorax
from medsyn2.types import Float

RADII_MM = (3.5, 5.0, 7.0, 10.0, 14.0)
RANGE_HU = (-900.0, 60.0)
MIN_RESPONSE_HU = 180.0
MIN_ROUNDNESS = 0.6
MIN_CONTRAST_HU, SMALL_CONTRAST_HU = 500.0, 750.0
SMALL_MM = 6.0
FILL_RANGE = (0.45, 1.6)
SHELL = (1.5, 2.0)
SHELL_AIR_SHARE = 0.82
SHELL_IN_LUNG_SHARE = 0.85
AIR_HU = -600.0

_Hu = Float[np.ndarray, "d h w"]


def find_nodules(thorax: Thorax) -> Mask:
    """Return solid nodules that air surrounds; empty if there are none."""
    box = bounding_box(thorax.lung, margin_voxels=2)
    lung = thorax.lung[box]
    hu = np.clip(thorax.hu[box].astype(np.float32), *RANGE_HU)
    hu = np.where(lung, hu, np.float32(-850))
    inner = erode(lung, thorax.spacing_mm, thorax.spacing_mm)
    found = np.zeros_like(lung)
    for radius_mm in sorted(RADII_MM, reverse=True):
        radius = radius_mm / thorax.spacing_mm
        min_contrast_hu = SMALL_CONTRAST_HU if radius_mm < SMALL_MM else MIN_CONTRAST_HU
        if radius < 1.1:
            continue
        for centre in _bright_spots(hu, inner, radius):
            if not found[centre]:
                _add_if_nodule(hu, lung, centre, radius, min_contrast_hu, found)
    result = np.zeros_like(thorax.lung)
    result[box] = found
    return result


def _bright_spots(hu: _Hu, inner: Mask, radius: float) -> list[tuple[int, int, int]]:
    """Return the round local maxima of the response at one scale; `radius` in voxels."""
    sigma = radius / np.sqrt(3)
    smooth = ndimage.gaussian_filter(hu, sigma, truncate=3.0)
    response = -ndimage.laplace(smooth) * np.float32(sigma**2)
    reach = 2 * max(1, round(radius / 2)) + 1
    peaks = (response >= MIN_RESPONSE_HU) & inner & (response == ndimage.maximum_filter(response, size=reach))
    spots = [(int(d), int(h), int(w)) for d, h, w in np.argwhere(peaks)]
    return [spot for spot in spots if _roundness(smooth, spot, max(1, round(sigma))) >= MIN_ROUNDNESS]


def _roundness(smooth: _Hu, centre: tuple[int, int, int], step: int) -> float:
    """Return the smallest over the largest second derivative at a maximum, by differences of `step` voxels."""
    padded = tuple(
        np.clip(np.arange(-step, step + 1, step) + c, 0, n - 1) for c, n in zip(centre, smooth.shape, strict=True)
    )
    cube = smooth[np.ix_(*padded)].astype(np.float64)
    hessian = np.zeros((3, 3))
    for i in range(3):
        line = np.moveaxis(cube, i, 0)[:, 1, 1]
        hessian[i, i] = line[0] - 2 * line[1] + line[2]
        for j in range(i):
            plane = np.moveaxis(cube, (i, j), (0, 1))[:, :, 1]
            hessian[i, j] = hessian[j, i] = (plane[2, 2] + plane[0, 0] - plane[2, 0] - plane[0, 2]) / 4
    values = np.linalg.eigvalsh(hessian)
    return float(values[2] / values[0]) if values[2] < 0 else 0.0


def _add_if_nodule(
    hu: _Hu, lung: Mask, centre: tuple[int, int, int], radius: float, min_contrast_hu: float, found: Mask
) -> None:
    """Add the bright region around `centre` to `found`, if its size and surroundings are a nodule's."""
    reach = int(np.ceil(SHELL[1] * radius))
    box = tuple(slice(max(c - reach, 0), min(c + reach + 1, n)) for c, n in zip(centre, hu.shape, strict=True))
    offsets = np.ogrid[box]
    distance = np.sqrt(sum((offset - c) ** 2 for offset, c in zip(offsets, centre, strict=True)))
    own, inside = hu[box], lung[box]
    shell = (distance >= max(SHELL[0] * radius, radius + 1.0)) & (distance <= max(SHELL[1] * radius, radius + 2))
    if inside[shell].mean() < SHELL_IN_LUNG_SHARE:
        return
    around = own[shell & inside]
    background, peak = float(np.median(around)), float(own[distance <= max(0.4 * radius, 1.0)].max())
    if peak - background < min_contrast_hu or float((around < AIR_HU).mean()) < SHELL_AIR_SHARE:
        return
    bright = (own > (peak + background) / 2) & (distance <= 1.4 * radius) & inside
    labels, _ = ndimage.label(bright)
    at = labels[tuple(c - s.start for c, s in zip(centre, box, strict=True))]
    fill = np.count_nonzero(labels == at) / (4 / 3 * np.pi * radius**3)
    if at and FILL_RANGE[0] <= fill <= FILL_RANGE[1]:
        found[box] |= labels == at
