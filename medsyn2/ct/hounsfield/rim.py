"""The rim of padding: how far interpolation has mixed it into the image.

Behind the last flat voxel of padding, a sharp edge jumps to the image's value at once. Linear interpolation takes as
many steps as it has made voxels of one, and a spline rings about the padding's value first. So the rim's width is
counted along rays that leave the padding: voxels that are still near its value, and the large steps after them.
Tissue can be near that value too, muscle to zeros. But behind a sharp edge the first voxel differs from the padding as
much as the second does, while interpolation brings it nearer.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from medsyn2.ct.hounsfield.flat import equal, flat_parts
from medsyn2.types import Bool, Int, Num

_SLICES = 16
_PROFILE_VOXELS = 16
_PROFILE_SLICES = 5
_COLUMNS = 8
_STEP = 0.08
_NOISES = 3.0
_MIN_RAYS = 20
_SHARP = 0.5
"""Of the rays. Noise alone makes half of them; real CTs have 0.54 to 0.93 at sharp padding, below 0.5 at resampled."""

_Profiles = Num[np.ndarray, "n k"]


def rim_voxels(values: Num[np.ndarray, "d h w"], padding: float) -> int:
    """Return the width of the rim of one value of padding within slices; 0 for a sharp edge."""
    planes = values[:: max(1, len(values) // _SLICES)]
    return _rim_width([profiles for plane in planes for profiles in _rays(plane, padding)], padding, 0.75)


def rim_slices(values: Num[np.ndarray, "d h w"], blank: Bool[np.ndarray, " d"], padding: float) -> int:
    """Return how many slices beside a blank one are mixed with it; 0 for a sharp edge."""
    found = [profiles[:, 1:] for profiles in _columns(values, blank) if equal(profiles[:1, 0], padding)]
    return _rim_width(found, padding, 0.5)


def _rays(plane: Num[np.ndarray, "h w"], padding: float) -> Iterator[_Profiles]:
    """Yield the values behind each end of a flat part of padding, in the four directions."""
    flat = flat_parts(plane) & equal(plane, padding)
    if not flat.any():
        return
    reach = np.arange(1, _PROFILE_VOXELS + 1)
    for turned, inside in ((plane, flat), (plane.T, flat.T)):
        for values, member in ((turned, inside), (turned[:, ::-1], inside[:, ::-1])):
            last = member[:, : -_PROFILE_VOXELS - 1] & ~member[:, 1:-_PROFILE_VOXELS]
            rows, columns = last.nonzero()
            if len(rows):
                yield values[rows[:, None], columns[:, None] + reach]


def _columns(values: Num[np.ndarray, "d h w"], blank: Bool[np.ndarray, " d"]) -> Iterator[_Profiles]:
    """Yield the values from each blank slice beside an image on, at every n-th place of the slice."""
    for turned, empty in ((values, blank), (values[::-1], blank[::-1])):
        for place in (empty[:-1] & ~empty[1:]).nonzero()[0]:
            part = turned[place : place + _PROFILE_SLICES + 1, ::_COLUMNS, ::_COLUMNS]
            if len(part) > _PROFILE_SLICES:
                yield part.reshape(len(part), -1).T


def _rim_width(found: Sequence[np.ndarray], padding: float, share: float) -> int:
    """Return the width of the rim on a share of the rays; 0 for a sharp edge."""
    if not found or _is_sharp(np.concatenate(found), padding):
        return 0
    return _quantile(np.concatenate([_ramp_lengths(profiles, padding) for profiles in found]), share)


def _is_sharp(profiles: _Profiles, padding: float) -> bool:
    """Return whether the first voxel is mostly as far from the padding as the second, so that nothing is between."""
    profiles = profiles.astype(np.float32)
    noise = float(np.median(np.abs(np.diff(profiles[:, profiles.shape[1] // 2 :], axis=1))))
    away = np.abs(profiles - padding)
    away = away[away[:, :3].max(axis=1) > max(_NOISES * noise, 1.0)]
    return len(away) >= _MIN_RAYS and float((away[:, 0] >= away[:, 1]).mean()) >= _SHARP


def _ramp_lengths(profiles: _Profiles, padding: float) -> Int[np.ndarray, " m"]:
    """Return the width of the rim on each ray whose end differs clearly from the padding."""
    profiles = profiles.astype(np.float32)
    count = profiles.shape[1]
    ends = profiles[:, 3 * count // 4 :].mean(axis=1)
    noise = float(np.median(np.abs(np.diff(profiles[:, count // 2 :], axis=1))))
    clear = np.abs(ends - padding) > _NOISES * noise / _STEP
    if np.count_nonzero(clear) < _MIN_RAYS:
        return np.zeros(0, int)
    profiles, jumps = profiles[clear], (ends - padding)[clear, None]
    least = _STEP * np.abs(jumps)
    still_near = np.logical_and.accumulate(np.abs(profiles - padding) < least, axis=1).sum(axis=1)
    is_step = np.diff(profiles, axis=1) * np.sign(jumps) >= least
    after = np.arange(count - 1) >= still_near[:, None]
    return (
        still_near + np.logical_and.accumulate(is_step | ~after, axis=1).sum(axis=1) - np.minimum(still_near, count - 1)
    )


def _quantile(lengths: Int[np.ndarray, " n"], share: float) -> int:
    return int(np.quantile(lengths, share, method="lower")) if lengths.size else 0
