"""CTs whose slices lie otherwise than their headers say, and blurred ones: each must be warned of, no sound one."""

import random
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import ndimage

from medsyn2.ct.volume import CTVolume
from medsyn2.errors import MedSyn2Error

from .row import Bench, Trial, Tried
from .volumes import inspect_volume

Change = Callable[[CTVolume], CTVolume]

FWHM_OF_SIGMA = 2.3548
ABOUT = ("distance of the slices", "moved", "are shifted", "leans", "is blurred", "copy of the one", "may be missing")
"""Words of the warnings that are about slices and sharpness."""


def displace_slices(bench: Bench) -> list[Trial]:
    """Change the place of slices, and blur them; and change what a reader of CTs must bear."""
    return [
        Trial(way, name, partial(_judge, bench, change, is_sound, name))
        for ways, is_sound in ((SOUND, True), (FAULTS, False))
        for way, change in ways.items()
        for name in bench.patients
    ]


def _judge(bench: Bench, change: Change, is_sound: bool, name: str, draw: random.Random) -> Tried:
    try:
        facts, _ = inspect_volume(bench, change(bench.ct(name)))
    except MedSyn2Error as error:
        return Tried("refused", not is_sound, f"{error.code}: {error.message}")
    told = [warning for warning in facts.warnings if any(words in warning for words in ABOUT)]
    if is_sound:
        return Tried("sound, and WARNED OF" if told else "sound, without a warning", not told, "; ".join(told))
    return Tried("a fault, warned of" if told else "A FAULT IN SILENCE", bool(told), "; ".join(told))


def _spread(factor: float, volume: CTVolume) -> CTVolume:
    """Draw the slices apart, in the header alone."""
    affine_mm = volume.affine_mm.copy()
    affine_mm[:3, 0] *= factor
    return CTVolume(volume.hu, affine_mm)


def _move(axis: int, move_mm: Callable[[np.ndarray], np.ndarray], volume: CTVolume) -> CTVolume:
    """Move each slice along an axis by a length that depends on its height above the middle of the chest."""
    height_mm = (np.arange(len(volume.hu)) - len(volume.hu) / 2) * volume.spacing_mm[0]
    moves = move_mm(height_mm) / volume.spacing_mm[axis]
    around = int(np.abs(moves).max()) + 1
    padded = np.pad(volume.hu, [(0, 0) if n != axis else (around, around) for n in range(3)], constant_values=-1000)
    noise = np.random.default_rng(0).normal(0, 8, padded.shape)
    padded = np.where(padded == -1000, padded + noise, padded)
    steps = ([move if n + 1 == axis else 0.0 for n in range(2)] for move in moves)
    hu = [ndimage.shift(plane, step, order=1, mode="nearest") for plane, step in zip(padded, steps, strict=True)]
    return CTVolume(np.rint(np.stack(hu)).astype(np.int16), volume.affine_mm)


def _blur(width_mm: float, volume: CTVolume) -> CTVolume:
    sigma = np.array([width_mm / FWHM_OF_SIGMA / own_mm for own_mm in volume.spacing_mm])
    return CTVolume(
        np.rint(ndimage.gaussian_filter(volume.hu.astype(np.float32), sigma)).astype(np.int16), volume.affine_mm
    )


def _thicken(thickness_mm: float, volume: CTVolume) -> CTVolume:
    """Average slices to thick ones."""
    count = max(1, round(thickness_mm / volume.spacing_mm[0]))
    hu = volume.hu[: len(volume.hu) // count * count].reshape(-1, count, *volume.shape[1:]).mean(axis=1)
    return _spread(count, CTVolume(np.rint(hu).astype(np.int16), volume.affine_mm))


def _add_noise(sd_hu: float, volume: CTVolume) -> CTVolume:
    noise = np.random.default_rng(0).normal(0, sd_hu, volume.shape)
    return CTVolume(np.rint(volume.hu + noise).clip(-1024, 3071).astype(np.int16), volume.affine_mm)


def _cut_field(field_mm: float, volume: CTVolume) -> CTVolume:
    spans = [round(field_mm / own_mm / 2) for own_mm in volume.spacing_mm[1:]]
    middle = [size // 2 for size in volume.shape[1:]]
    box = [slice(max(at - half, 0), at + half) for at, half in zip(middle, spans, strict=True)]
    return CTVolume(np.ascontiguousarray(volume.hu[:, *box]), volume.affine_mm)


def _part(share: float, volume: CTVolume) -> CTVolume:
    return CTVolume(volume.hu[round(share * len(volume.hu)) :], volume.affine_mm)


SOUND: dict[str, Change] = {
    "as it is": lambda volume: volume,
    "slices of 6 mm": partial(_thicken, 6.0),
    "slices of 8 mm": partial(_thicken, 8.0),
    "noise of 40 HU": partial(_add_noise, 40.0),
    "a field of view of 320 mm": partial(_cut_field, 320.0),
    "a field of view of 260 mm": partial(_cut_field, 260.0),
    "without the lowest fifth": partial(_part, 0.2),
}
FAULTS: dict[str, Change] = {
    "slices 1.5 times too far apart": partial(_spread, 1.5),
    "slices 1.5 times too near": partial(_spread, 1 / 1.5),
    "slices 2 times too far apart": partial(_spread, 2.0),
    "slices 2 times too near": partial(_spread, 0.5),
    "leaning to the side by 17 degrees": partial(_move, 2, lambda height_mm: 0.3 * height_mm),
    "leaning to the front by 17 degrees": partial(_move, 1, lambda height_mm: -0.3 * height_mm),
    "leaning to the back by 17 degrees": partial(_move, 1, lambda height_mm: 0.3 * height_mm),
    "moved by 5 mm at once": partial(_move, 2, lambda height_mm: 5.0 * (height_mm > 0)),
    "moved by 10 mm within 20 mm": partial(_move, 2, lambda height_mm: np.clip(height_mm / 2, 0, 10)),
    "slices moved at random, with 2 mm": partial(
        _move, 2, lambda height_mm: np.random.default_rng(0).normal(0, 2, len(height_mm))
    ),
    "blurred to 8 mm": partial(_blur, 8.0),
}
