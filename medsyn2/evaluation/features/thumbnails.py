"""Thumbnails of volumes: positions of what is dense, and nothing finer than about a centimetre.

A thumbnail is kept beside the features of single volumes, in a file that is named by a hash of the volume's bytes and
of every number that decides it.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Num
from scipy import ndimage

from medsyn2.ct.intensity import apply_window
from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.features.array_cache import cached_path, read_array, write_arrays
from medsyn2.evaluation.features.sizes import THUMBNAIL, THUMBNAIL_WINDOW
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.vocabulary import WINDOWS_HU

_NAME = "thumbnail"


def thumbnail(hu: Num[np.ndarray, "d h w"], window_hu: tuple[float, float]) -> Float[np.ndarray, " n"]:
    """Return a volume in one window, flattened from 32 voxels an axis, of zero mean and unit norm, float32.

    Block means, then linear interpolation. A constant volume gives zeros.
    """
    unit = apply_window(hu, window_hu)
    for axis, size in enumerate(unit.shape):
        if size // THUMBNAIL > 1:
            unit = ndimage.uniform_filter1d(unit, size // THUMBNAIL, axis=axis)
    zoom = [THUMBNAIL / size for size in unit.shape]
    flat = ndimage.zoom(unit, zoom, order=1, grid_mode=True, mode="nearest").ravel()
    flat = flat - flat.mean(dtype=np.float64)
    norm = float(np.linalg.norm(flat))
    return (flat / norm if norm > 0 else flat).astype(np.float32)


def thumbnail_path(volume: VolumeFile, cache: Path) -> Path:
    """Return the file of a volume's thumbnail."""
    return cached_path(cache, [volume.digest(), _NAME, THUMBNAIL, WINDOWS_HU[THUMBNAIL_WINDOW]])


def write_thumbnail(place: Path, volume: CTVolume) -> None:
    """Write the thumbnail of a volume to its file."""
    write_arrays(place, {_NAME: thumbnail(volume.hu, WINDOWS_HU[THUMBNAIL_WINDOW])})


def read_thumbnail(volume: VolumeFile, cache: Path) -> Float[np.ndarray, " n"]:
    """Return the thumbnail of a volume, and make it if it is missing from the cache."""
    place = thumbnail_path(volume, cache)
    if not place.is_file():
        write_thumbnail(place, volume.read())
    return read_array(place, _NAME)
