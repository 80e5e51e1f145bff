"""How well a volume survives encoding and decoding: SSIM in three dimensions, PSNR and the mean error in HU.

SSIM follows Wang et al. 2004 with a uniform window of 7 x 7 x 7 voxels, the unbiased covariance and the
constants 0.01 and 0.03, averaged over the windows that lie inside the volume.
"""

import numpy as np
from jaxtyping import Bool, Num
from scipy import ndimage

SSIM_WINDOW = 7


def mean_absolute_error_hu(
    first: Num[np.ndarray, "d h w"],
    second: Num[np.ndarray, "d h w"],
    where: Bool[np.ndarray, "d h w"] | None = None,
) -> float:
    """Return the mean absolute difference in HU, of the voxels in `where` or of all."""
    difference = np.abs(first.astype(np.float32) - second.astype(np.float32))
    return float(
        difference.mean(dtype=np.float64) if where is None else difference[where].mean(dtype=np.float64)
    )


def psnr_db(first: Num[np.ndarray, "d h w"], second: Num[np.ndarray, "d h w"], data_range: float) -> float:
    """Return the peak signal-to-noise ratio in dB, infinite for equal volumes.

    Args:
        first: A volume.
        second: The other one.
        data_range: Difference of the largest and the smallest possible value.
    """
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def ssim_3d(first: Num[np.ndarray, "d h w"], second: Num[np.ndarray, "d h w"], data_range: float) -> float:
    """Return the structural similarity of two volumes, at most 1.

    Raises:
        ValueError: If an axis is shorter than the window.
    """
    if min(first.shape) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW} voxels an axis, got {first.shape}")
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    count = SSIM_WINDOW**3
    unbiased = count / (count - 1)
    variance_x = unbiased * (_local_mean(x * x) - mean_x**2)
    variance_y = unbiased * (_local_mean(y * y) - mean_y**2)
    covariance = unbiased * (_local_mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )
    edge = SSIM_WINDOW // 2
    return float(similarity[edge:-edge, edge:-edge, edge:-edge].mean())


def _local_mean(values: Num[np.ndarray, "d h w"]) -> Num[np.ndarray, "d h w"]:
    return ndimage.uniform_filter(values, SSIM_WINDOW)
