"""Faults of generated volumes, tried on real ones: each at a stated strength, of one chest on the common grid."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

RANGE_HU = (-1024.0, 1024.0)
AIR_HU, SOFT_HU, WATER_HU = -1024.0, 40.0, 10.0
LEFT, RIGHT = 1, 2
"""Labels of the lungs."""


@dataclass(frozen=True)
class Chest:
    """One CT on the common grid."""

    name: str
    hu: np.ndarray  # (d, h, w), float32
    lungs: np.ndarray  # Labels of the lungs
    rows: slice  # Slices that the CT has; others are air
    spacing_mm: float

    def rng(self) -> np.random.Generator:
        """Return the generator of this chest's random faults."""
        return np.random.default_rng(sum(map(ord, self.name)))

    def body(self) -> np.ndarray:
        """Return the largest connected part that is no air."""
        labels, _ = ndimage.label(ndimage.binary_opening(self.hu > -300, iterations=2))
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        return labels == sizes.argmax()


Fault = Callable[[Chest], np.ndarray]


def degradations() -> Iterator[tuple[str, Fault]]:
    """Yield the name of each fault and the function that makes it."""
    for mm in (1, 2, 4):
        yield f"blur {mm} mm", lambda chest, mm=mm: ndimage.gaussian_filter(chest.hu, mm / chest.spacing_mm)
    yield "blur along z 5 mm", lambda chest: ndimage.gaussian_filter1d(chest.hu, 5 / chest.spacing_mm, axis=0)
    for hu in (10, 30, 80):
        yield f"noise {hu} HU", lambda chest, hu=hu: chest.hu + chest.rng().normal(0, hu, chest.hu.shape)
    for hu in (5, 20):
        yield f"flicker {hu} HU", lambda chest, hu=hu: chest.hu + chest.rng().normal(0, hu, (len(chest.hu), 1, 1))
    for hu in (10, 30, 100):
        yield f"shift {hu} HU", lambda chest, hu=hu: chest.hu + hu
    for gain in (0.9, 1.1):
        yield f"gain {gain}", lambda chest, gain=gain: chest.hu * gain
    for name, axis in (("upside down", 0), ("front to back", 1), ("left to right", 2)):
        yield name, lambda chest, axis=axis: np.flip(chest.hu, axis)
    yield from (
        ("one half mirrored", _mirror), ("slices jittered 4 mm along z", _jitter_z),
        ("slices jittered 4 mm in plane", _jitter_in_plane), ("slices shuffled", _shuffle),
        ("checkerboard 20 HU", _checkerboard), ("seams 10 HU every 8 voxels", _offset_blocks),
    )  # fmt: skip
    for voxels in (4, 8):
        yield f"mosaic {voxels} voxels", lambda chest, voxels=voxels: _mosaic(chest.hu, voxels)
    yield from (("no lung vessels", _remove_vessels), ("no bones", _remove_bones))
    for name, radius_mm in (("nodule 20 mm", 10), ("mass 60 mm", 30)):
        yield name, lambda chest, mm=radius_mm: _fill(chest, _sphere(chest, mm), SOFT_HU)
    yield "effusion", lambda chest: _fill(chest, _back_of_right_lung(chest), WATER_HU)
    yield "ground glass in the lower lung", _add_ground_glass
    yield "one lung filled", lambda chest: _fill(chest, chest.lungs == RIGHT, SOFT_HU)
    yield "base of the lungs cut", _cut_base
    yield "zoom 0.85", lambda chest: _scale(chest, (0.85,) * 3)
    yield "z stretch 0.85", lambda chest: _scale(chest, (0.85, 1, 1))


def degrade(chest: Chest, fault: Fault) -> np.ndarray:
    """Return a chest with a fault, in the range of HU that generators have."""
    return np.ascontiguousarray(np.clip(fault(chest), *RANGE_HU), dtype=np.float32)


def _mirror(chest: Chest) -> np.ndarray:
    hu, half = chest.hu.copy(), chest.hu.shape[2] // 2
    hu[..., -half:] = hu[..., :half][..., ::-1]
    return hu


def _jitter_z(chest: Chest) -> np.ndarray:
    first, last = chest.rows.start, chest.rows.stop
    places = np.arange(len(chest.hu))
    moved = places[first:last] + np.rint(chest.rng().normal(0, 4 / chest.spacing_mm, last - first)).astype(int)
    places[first:last] = np.clip(moved, first, last - 1)
    return chest.hu[places]


def _jitter_in_plane(chest: Chest) -> np.ndarray:
    moves = np.rint(chest.rng().normal(0, 4 / chest.spacing_mm, (len(chest.hu), 2))).astype(int)
    return np.stack([np.roll(plane, tuple(move), (0, 1)) for plane, move in zip(chest.hu, moves, strict=True)])


def _shuffle(chest: Chest) -> np.ndarray:
    places = np.arange(len(chest.hu))
    places[chest.rows] = chest.rng().permutation(places[chest.rows])
    return chest.hu[places]


def _checkerboard(chest: Chest) -> np.ndarray:
    return chest.hu + 20.0 * (1 - 2 * (np.indices(chest.hu.shape).sum(axis=0) % 2))


def _offset_blocks(chest: Chest) -> np.ndarray:
    blocks = chest.rng().normal(0, 10, [-(-size // 8) for size in chest.hu.shape])
    return chest.hu + _repeat(blocks, 8, chest.hu.shape)


def _mosaic(hu: np.ndarray, voxels: int) -> np.ndarray:
    whole = hu[tuple(slice(0, size // voxels * voxels) for size in hu.shape)]
    depth, height, width = (size // voxels for size in whole.shape)
    means = whole.reshape(depth, voxels, height, voxels, width, voxels).mean(axis=(1, 3, 5))
    found = hu.copy()
    found[tuple(slice(0, size) for size in whole.shape)] = _repeat(means, voxels, whole.shape)
    return found


def _repeat(blocks: np.ndarray, voxels: int, shape: tuple[int, ...]) -> np.ndarray:
    for axis in range(3):
        blocks = np.repeat(blocks, voxels, axis)
    return blocks[tuple(slice(0, size) for size in shape)]


def _remove_vessels(chest: Chest) -> np.ndarray:
    hu, inside = chest.hu.copy(), chest.lungs > 0
    hu[inside] = ndimage.grey_opening(chest.hu, size=(5, 5, 5))[inside]
    return hu


def _remove_bones(chest: Chest) -> np.ndarray:
    bones = ndimage.binary_dilation(chest.hu > 150) & chest.body() & (chest.hu > SOFT_HU) & (chest.lungs == 0)
    return _fill(chest, bones, SOFT_HU)


def _fill(chest: Chest, region: np.ndarray, hu: float) -> np.ndarray:
    found = chest.hu.copy()
    found[region] = hu
    return found


def _sphere(chest: Chest, radius_mm: float) -> np.ndarray:
    """Return a sphere about the place of the right lung that is deepest inside it."""
    depth = ndimage.distance_transform_edt(chest.lungs == RIGHT)
    centre = np.unravel_index(depth.argmax(), depth.shape)
    places = np.ogrid[tuple(map(slice, depth.shape))]
    squares = sum((axis - middle) ** 2 for axis, middle in zip(places, centre, strict=True))
    return squares <= (radius_mm / chest.spacing_mm) ** 2


def _back_of_right_lung(chest: Chest) -> np.ndarray:
    region = chest.lungs == RIGHT
    rows = np.flatnonzero(region.any(axis=(0, 2)))
    region[:, : rows[0] + int(0.6 * (rows[-1] - rows[0]))] = False
    return region


def _add_ground_glass(chest: Chest) -> np.ndarray:
    region = (chest.lungs == RIGHT) & (chest.hu < -400)
    slices = np.flatnonzero((chest.lungs == RIGHT).any(axis=(1, 2)))
    region[(slices[0] + slices[-1]) // 2 :] = False
    return chest.hu + 300.0 * region


def _cut_base(chest: Chest) -> np.ndarray:
    hu, slices = chest.hu.copy(), np.flatnonzero((chest.lungs > 0).any(axis=(1, 2)))
    hu[: slices[0] + int(0.4 * (slices[-1] - slices[0]))] = AIR_HU
    return hu


def _scale(chest: Chest, factors: tuple[float, float, float]) -> np.ndarray:
    small = ndimage.zoom(chest.hu, factors, order=1)
    found = np.full(chest.hu.shape, AIR_HU, np.float32)
    place = tuple(slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(found.shape, small.shape, strict=True))
    found[place] = small
    return found
