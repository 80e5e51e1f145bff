"""Similarity of two volumes, such as a CT and its reconstruction: SSIM in three dimensions, PSNR and mean error in HU.

SSIM follows Wang et al. 2004 with the constants 0.01 and 0.03, averaged over the windows inside the volume. The window
changes the value by several percent, so it is in the name:

    ssim_3d_box        7 x 7 x 7 voxels, equal weights, unbiased covariance (scikit-image's default)
    ssim_3d_gaussian   11 x 11 x 11 voxels, Gaussian of 1.5 voxels, biased covariance (Wang's, MONAI's default)

Both windows are separable and are applied axis by axis, in overlapping slabs: the same value in the memory of a few
slices.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Num
from scipy import ndimage

BODY_HU = -500
BOX_VOXELS = 7
GAUSSIAN_VOXELS = 11
GAUSSIAN_SIGMA_VOXELS = 1.5
_SLAB = 16

_Filter = Callable[[Float[np.ndarray, "d h w"], int], Float[np.ndarray, "d h w"]]


def mean_absolute_error_hu(
    first: Num[np.ndarray, "d h w"], second: Num[np.ndarray, "d h w"], where: Bool[np.ndarray, "d h w"] | None = None
) -> float:
    """Return the mean absolute difference in HU, of the voxels in `where` or of all."""
    difference = np.abs(first.astype(np.float32) - second.astype(np.float32))
    return float(difference.mean(dtype=np.float64) if where is None else difference[where].mean(dtype=np.float64))


def psnr_db(
    first: Num[np.ndarray, "d h w"],
    second: Num[np.ndarray, "d h w"],
    data_range: float,
    where: Bool[np.ndarray, "d h w"] | None = None,
) -> float:
    """Return the peak signal-to-noise ratio in dB, infinite for equal volumes.

    Args:
        data_range: Difference of the largest and the smallest possible value.
        where: The voxels that count; None takes all.
    """
    squares = (first.astype(np.float32) - second.astype(np.float32)) ** 2
    error = float((squares if where is None else squares[where]).mean(dtype=np.float64))
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def inside_body(hu: Num[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d h w"]:
    """Return the mask of the body, lungs included, without the air and the table around it.

    The air around a patient is reproduced by anything and makes every mean look better.
    """
    labels, num = ndimage.label(hu > BODY_HU)
    if not num:
        return np.zeros(hu.shape, dtype=bool)
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return np.stack([ndimage.binary_fill_holes(axial) for axial in largest])


def ssim_3d_box(first: Num[np.ndarray, "d h w"], second: Num[np.ndarray, "d h w"], data_range: float) -> float:
    """Return the structural similarity with a window of 7 x 7 x 7 equal weights, at most 1.

    Raises:
        ValueError: If an axis is shorter than the window.
    """
    count = BOX_VOXELS**3

    def along(values: Float[np.ndarray, "d h w"], axis: int) -> Float[np.ndarray, "d h w"]:
        return ndimage.uniform_filter1d(values, BOX_VOXELS, axis=axis)

    return _ssim(first, second, data_range, along, BOX_VOXELS, count / (count - 1))


def ssim_3d_gaussian(first: Num[np.ndarray, "d h w"], second: Num[np.ndarray, "d h w"], data_range: float) -> float:
    """Return the structural similarity with a Gaussian window of 11 x 11 x 11, at most 1.

    Raises:
        ValueError: If an axis is shorter than the window.
    """
    offsets = np.arange(GAUSSIAN_VOXELS) - GAUSSIAN_VOXELS // 2
    weights = np.exp(-(offsets**2) / (2 * GAUSSIAN_SIGMA_VOXELS**2))
    weights /= weights.sum()

    def along(values: Float[np.ndarray, "d h w"], axis: int) -> Float[np.ndarray, "d h w"]:
        return ndimage.correlate1d(values, weights, axis=axis)

    return _ssim(first, second, data_range, along, GAUSSIAN_VOXELS, 1.0)


def _ssim(
    first: Num[np.ndarray, "d h w"],
    second: Num[np.ndarray, "d h w"],
    data_range: float,
    along: _Filter,
    window: int,
    covariance_scale: float,
) -> float:
    if min(first.shape) < window:
        raise ValueError(f"SSIM needs at least {window} voxels an axis, got {first.shape}")
    inside = slice(window // 2, -(window // 2))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def mean(values: Float[np.ndarray, "d h w"]) -> Float[np.ndarray, "e i j"]:
        # The axis that shrinks most goes first.
        values = along(values, 0)[inside]
        values = along(values, 1)[:, inside]
        return along(values, 2)[:, :, inside]

    def total_of(slab: slice) -> float:
        """Return the sum over the windows that lie inside the slab."""
        x, y = first[slab].astype(np.float64), second[slab].astype(np.float64)
        mean_x, mean_y = mean(x), mean(y)
        variance_x = covariance_scale * (mean(x * x) - mean_x**2)
        variance_y = covariance_scale * (mean(y * y) - mean_y**2)
        covariance = covariance_scale * (mean(x * y) - mean_x * mean_y)
        above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        return (above / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).sum()

    places, total = first.shape[0] - window + 1, 0.0
    for start in range(0, places, _SLAB):
        total += total_of(slice(start, min(start + _SLAB, places) + window - 1))
    return float(total / (places * (first.shape[1] - window + 1) * (first.shape[2] - window + 1)))
