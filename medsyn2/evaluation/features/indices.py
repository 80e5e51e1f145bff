"""Indices of one volume: faults that an eye sees at once, and that no distance of sets of features sees at any count.

    jump_hu           median jump of a slice's mean from its neighbours' mean: flicker, slices in another order
    z_gradient_ratio  mean step between slices over that within them: slices that do not fit, or are blurred together
    nyquist_hu        greatest amplitude of a pattern that alternates from voxel to voxel along one or more axes:
                      checkerboards, stripes
    seams             mean step across regularly spaced planes over that across their neighbours, at the worst spacing,
                      along all axes or half of that along one: tokens, windows and blocks that do not fit
    bone_percent      share of what is no air or lung that is denser than 200 HU
    sharpness_hu      median absolute Laplacian: blur, noise
    roughness         typical second difference over the typical first one, whatever the contrast: blur, noise

They are of the middle half of each axial slice, where a chest CT has body whatever its field of view. Which values are
usual depends on scanner, kernel and grid, so that limits come from the real volumes at hand (`fidelity.indices`).
Indices are kept beside the features, in a file that is named by a hash of everything that decides them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from itertools import combinations
from math import inf, nan
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num
from scipy import ndimage

from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.features.array_cache import cached_path, read_array, write_arrays
from medsyn2.evaluation.features.protocols import Protocol, bring_to_grid
from medsyn2.evaluation.features.volume_file import VolumeFile

INDICES = ("jump_hu", "z_gradient_ratio", "nyquist_hu", "seams", "bone_percent", "sharpness_hu", "roughness")

_NAME = "indices"
_VERSION = 1
"""Raised when a definition changes."""

_BONE_HU, _TISSUE_HU = 200.0, -300.0
_MARGIN_SHARE = 1 / 32
"""Share of the slices that are left out at each end, where a field of view that was resampled is half filled."""
_LEAST_VOXELS = 4
"""Voxels an axis without which nothing can be said."""
_LEAST_PITCH, _LEAST_SEAMS = 3, 3
_NEIGHBOURS = 13
"""Planes about a plane that it is compared with."""


def volume_indices(hu: Num[np.ndarray, "d h w"]) -> dict[str, float]:
    """Return the indices of a volume; NaN where it is too small, or constant."""
    core = _core(hu)
    if min(core.shape) < _LEAST_VOXELS:
        return dict.fromkeys(INDICES, nan)
    steps = [np.abs(np.diff(core, axis=axis)) for axis in range(3)]
    across, *within = (float(step.mean(dtype=np.float64)) for step in steps)
    means = core.mean(axis=(1, 2), dtype=np.float64)
    tissue = float(np.count_nonzero(core > _TISSUE_HU))
    curvatures = (np.abs(np.diff(core, 2, axis=axis)) for axis in range(3))
    found = (
        float(np.median(np.abs(means[1:-1] - (means[:-2] + means[2:]) / 2))),
        _ratio(across, sum(within) / 2),
        max(_alternations(core)),
        _seams([_profile(step, axis) for axis, step in enumerate(steps)]),
        _ratio(100.0 * np.count_nonzero(core > _BONE_HU), tissue),
        float(np.median(np.abs(ndimage.laplace(core)))),
        _ratio(sum(map(_typical_mean, curvatures)), sum(map(_typical_mean, steps))),
    )
    return dict(zip(INDICES, found, strict=True))


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else nan


def _core(hu: Num[np.ndarray, "d h w"]) -> Float[np.ndarray, "c e f"]:
    """Return the middle half of the axial slices that are not constant there, without the first and the last few."""
    _, height, width = hu.shape
    core = hu[:, height // 4 : height - height // 4, width // 4 : width - width // 4].astype(np.float32)
    held = np.flatnonzero(np.ptp(core, axis=(1, 2)) > 0)
    if not len(held):
        return core[:0]
    margin = int(len(held) * _MARGIN_SHARE)
    return core[held[0] + margin : held[-1] + 1 - margin]


def _alternations(core: Float[np.ndarray, "d h w"]) -> Iterator[float]:
    """Yield the amplitude of each pattern that alternates along one, two or three axes."""
    for count in (1, 2, 3):
        for axes in combinations(range(3), count):
            rest = tuple(axis for axis in range(3) if axis not in axes)
            values = core.mean(axis=rest, keepdims=True, dtype=np.float64)
            for axis in axes:
                # The second difference passes the pattern whole, and ramps not at all.
                ends = np.moveaxis(values, axis, 0)
                sign = (1 - 2 * (np.arange(len(ends) - 2) % 2)).reshape(-1, 1, 1)
                values = np.moveaxis(sign * (2 * ends[1:-1] - ends[:-2] - ends[2:]) / 4, 0, axis)
            yield abs(float(values.mean()))


def _typical_mean(values: Float[np.ndarray, "..."]) -> float:
    """Return the mean of positive values, each cut at twice the median, so that borders of organs count little."""
    return float(np.minimum(values, 2 * _median(values)).mean(dtype=np.float64))


def _median(values: Float[np.ndarray, "..."]) -> float:
    """Return the median; where most values are 0, as in a mosaic, their mean."""
    return float(np.median(values)) or float(values.mean(dtype=np.float64))


def _profile(step: Float[np.ndarray, "d h w"], axis: int) -> Float[np.ndarray, " p"]:
    """Return by how much the step across each plane exceeds that across the planes about it, as a logarithm."""
    planes = np.moveaxis(step, axis, 0).reshape(step.shape[axis], -1)
    typical = _median(planes)
    # Larger steps are borders of organs: the few planes with many of them would look like seams.
    profile = np.log(np.minimum(planes, typical).mean(axis=1) + 0.01 * typical)
    return profile - ndimage.median_filter(profile, size=_NEIGHBOURS, mode="nearest")


def _seams(profiles: Sequence[Float[np.ndarray, " _"]]) -> float:
    """Return the excess at the worst spacing, at the worst phase of each axis, as a ratio; NaN of a small volume."""
    worst = -inf
    for pitch in range(_LEAST_PITCH, min(map(len, profiles)) // _LEAST_SEAMS + 1):
        of_axes = [max(float(one[phase::pitch].mean()) for phase in range(pitch)) for one in profiles]
        worst = max(worst, sum(of_axes) / 3, max(of_axes) / 2)
    return float(np.exp(worst)) if worst > -inf else nan


def index_path(volume: VolumeFile, protocol: Protocol, cache: Path) -> Path:
    """Return the file of a volume's indices."""
    padding = None if volume.padding is None else [astuple(part) for part in volume.padding]
    decided_by = [volume.digest(), volume.spacing_mm, padding, protocol.clip_hu, protocol.resample_mm]
    return cached_path(cache, [*decided_by, _NAME, _VERSION])


def write_indices(place: Path, volume: CTVolume, protocol: Protocol) -> None:
    """Write the indices of a volume, on the protocol's grid and in its range, to their file."""
    found = volume_indices(bring_to_grid(volume, protocol).hu)
    write_arrays(place, {_NAME: np.array([found[name] for name in INDICES])})


def read_indices(volume: VolumeFile, protocol: Protocol, cache: Path) -> dict[str, float]:
    """Return the indices of a volume, and measure them if they are missing from the cache."""
    place = index_path(volume, protocol, cache)
    if not place.is_file():
        write_indices(place, volume.read(), protocol)
    return dict(zip(INDICES, read_array(place, _NAME).tolist(), strict=True))
