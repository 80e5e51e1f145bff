"""Shapes as functions of position, with which a phantom is painted.

Everything in a phantom is a function of a point's coordinates, so that one subject can be painted on any grid. A
shape is a *signed distance* in mm, negative inside and nearly exact at the surface; `coverage` softens the surface
over one voxel, as a scanner's partial volume does.

There are two frames. The *body frame* is LPS in mm with its origin at the carina. The *anatomical frame* is the body
frame bent by a smooth displacement that differs between subjects: anatomy is simple there and looks natural after
the bend, and no affine transform takes one subject to another. Shapes with a stated size in mm, such as nodules, are
painted in the body frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from medsyn2.ct.volume import Affine, Grid
from medsyn2.types import Bool, Float, Shaped

Field = Float[np.ndarray, "..."]
Region = tuple[slice, slice, slice]


class Points(NamedTuple):
    """Coordinates of points in mm, three arrays of one shape: x to left, y to posterior, z to superior."""

    x: Field
    y: Field
    z: Field

    def at(self, region: Region | Bool[np.ndarray, "..."] | Shaped[np.ndarray, "..."]) -> "Points":
        """Return the points of a region."""
        return Points(self.x[region], self.y[region], self.z[region])


@dataclass(frozen=True)
class Wave:
    """One term of a bend: displacement (mm) along a direction, a sine of position."""

    amplitude_mm: tuple[float, float, float]
    wave_vector: tuple[float, float, float]
    phase: float


def bend(waves: tuple[Wave, ...], points: Points) -> Points:
    """Map points of the body frame to the anatomical frame."""
    x, y, z = points
    bent = [x.copy(), y.copy(), z.copy()]
    for wave in waves:
        kx, ky, kz = (np.float32(k) for k in wave.wave_vector)
        sine = np.sin(kx * x + ky * y + kz * z + np.float32(wave.phase))
        for axis, amplitude in enumerate(wave.amplitude_mm):
            bent[axis] += np.float32(amplitude) * sine
    return Points(*bent)


def unbend(waves: tuple[Wave, ...], points: Points) -> Points:
    """Map points of the anatomical frame to the body frame: the inverse of `bend`, by fixed-point iteration."""
    guess = points
    for _ in range(12):
        bent = bend(waves, guess)
        guess = Points(*(g + (p - b) for g, p, b in zip(guess, points, bent, strict=True)))
    return guess


_RIPPLES = (
    (0.41, 0.13, -0.22, 0.3),
    (-0.19, 0.44, 0.17, 1.9),
    (0.12, -0.27, 0.46, 4.0),
    (0.36, -0.31, 0.14, 2.2),
    (-0.25, -0.16, -0.39, 5.1),
    (0.07, 0.35, -0.33, 0.9),
)
"""Wave vectors (1/mm) and phases of `texture`."""


def texture(points: Points) -> Field:
    """Return an irregular pattern with grains of about 15 mm and standard deviation 1.7, the same for all subjects."""
    pattern = np.zeros(points.x.shape, dtype=np.float32)
    for kx, ky, kz, phase in _RIPPLES:
        pattern += np.sin(
            np.float32(kx) * points.x + np.float32(ky) * points.y + np.float32(kz) * points.z + np.float32(phase)
        )
    return pattern


def smooth_max(first: Field, second: Field, radius_mm: float) -> Field:
    """Intersect two shapes with an edge rounded by about `radius_mm`."""
    return -smooth_min(-first, -second, radius_mm)


def coverage(distance_mm: Field, edge_mm: float) -> Field:
    """Return the share of a voxel that a shape covers, from the signed distance of the voxel's centre."""
    return np.clip(0.5 - distance_mm * np.float32(1.0 / edge_mm), 0.0, 1.0)


def smooth_min(first: Field, second: Field, radius_mm: float) -> Field:
    """Unite two shapes with a fillet of about `radius_mm`.

    Source: the quadratic polynomial smooth minimum, I. Quilez, "smooth minimum" (iquilezles.org).
    """
    overlap = np.maximum(np.float32(radius_mm) - np.abs(first - second), 0.0)
    return np.minimum(first, second) - overlap * overlap * np.float32(0.25 / radius_mm)


def ellipsoid(
    points: Points,
    centre_mm: tuple[float, float, float],
    radii_mm: tuple[float, float, float],
    rotation: Float[np.ndarray, "3 3"] | None = None,
) -> Field:
    """Return the signed distance to an ellipsoid, exact to first order near its surface.

    Args:
        rotation: Directions of the half axes, in rows; None takes the frame's axes.

    Source: the bound |k0| (|k0| - 1) / |k1| of I. Quilez, "ellipsoid - distance" (iquilezles.org).
    """
    shifted = [coordinate - np.float32(centre) for coordinate, centre in zip(points, centre_mm, strict=True)]
    if rotation is not None:
        x, y, z = shifted
        shifted = [np.float32(row[0]) * x + np.float32(row[1]) * y + np.float32(row[2]) * z for row in rotation]
    scaled = [np.float32(1.0 / radius) * part for part, radius in zip(shifted, radii_mm, strict=True)]
    first = np.sqrt(sum(part * part for part in scaled))
    slopes = (part * np.float32(1.0 / radius) for part, radius in zip(scaled, radii_mm, strict=True))
    second = np.sqrt(sum(slope * slope for slope in slopes))
    return first * (first - 1.0) / np.maximum(second, np.float32(1e-4))


@dataclass(frozen=True)
class Tubes:
    """Straight tapered tubes with round ends, in the anatomical frame."""

    start_mm: Float[np.ndarray, "n 3"]  # First ends, (n, 3)
    end_mm: Float[np.ndarray, "n 3"]  # Second ends, (n, 3)
    radius_mm: Float[np.ndarray, "n 2"]  # Radius at the two ends, (n, 2)

    @staticmethod
    def along(points_mm: list[tuple[float, float, float]], radii_mm: list[float]) -> "Tubes":
        """Return the tubes along a polyline."""
        path, radii = np.asarray(points_mm, dtype=np.float32), np.asarray(radii_mm, dtype=np.float32)
        return Tubes(path[:-1], path[1:], np.stack([radii[:-1], radii[1:]], axis=1))

    @staticmethod
    def concatenate(parts: list["Tubes"]) -> "Tubes":
        """Join several sets of tubes."""
        return Tubes(
            np.concatenate([part.start_mm for part in parts]),
            np.concatenate([part.end_mm for part in parts]),
            np.concatenate([part.radius_mm for part in parts]),
        )

    def shift(self, offset_mm: Float[np.ndarray, "*n 3"], radius_factor: float) -> "Tubes":
        """Displace the tubes and multiply their radii."""
        return Tubes(self.start_mm + offset_mm, self.end_mm + offset_mm, self.radius_mm * np.float32(radius_factor))


@dataclass(frozen=True)
class Slab:
    """The part of a grid that is painted at once."""

    shape: tuple[int, int, int]  # Voxels (depth, height, width)
    index_to_body: Affine  # Array index to the body frame, in mm
    waves: tuple[Wave, ...]  # The bend from the body frame to the anatomical frame

    @cached_property
    def body(self) -> Points:
        """Voxel centres in the body frame."""
        matrix = self.index_to_body.astype(np.float32)
        depth, height, width = (np.arange(size, dtype=np.float32) for size in self.shape)
        rows = (
            row[0] * depth[:, None, None] + row[1] * height[:, None] + row[2] * width + row[3] for row in matrix[:3]
        )
        return Points(*rows)

    @cached_property
    def points(self) -> Points:
        """Voxel centres in the anatomical frame."""
        return bend(self.waves, self.body)

    @cached_property
    def edge_mm(self) -> float:
        """Width of a soft surface: the edge of a cube with a voxel's volume."""
        return float(np.abs(np.linalg.det(self.index_to_body[:3, :3])) ** (1 / 3))


def slabs(grid: Grid, world_to_body: Affine, waves: tuple[Wave, ...], max_voxels: int) -> Iterator[tuple[slice, Slab]]:
    """Divide a grid into slabs of at most `max_voxels` voxels (or one slice), from its first slice on."""
    depth, height, width = grid.shape
    thickness = max(1, max_voxels // (height * width))
    for first in range(0, depth, thickness):
        last = min(first + thickness, depth)
        shift = np.eye(4)
        shift[0, 3] = first
        yield (slice(first, last), Slab((last - first, height, width), world_to_body @ grid.affine_mm @ shift, waves))


def tube_distances(slab: Slab, tubes: Tubes, margin_mm: float) -> Iterator[tuple[Region, Field, Field, float]]:
    """Measure the voxels within `margin_mm` of each tube that touches a slab.

    Yields:
        Region, distance from the axis, radius at the nearest point of the axis, largest radius (all mm).
    """
    if not len(tubes.start_mm):
        return
    ends = np.concatenate([tubes.start_mm, tubes.end_mm]).T.astype(np.float32)
    body = np.stack(unbend(slab.waves, Points(*ends)), axis=1).astype(np.float64)
    inverse = np.linalg.inv(slab.index_to_body)
    index = body @ inverse[:3, :3].T + inverse[:3, 3]
    first, second = np.split(index, 2)
    widest = tubes.radius_mm.max(axis=1)
    spread = np.linalg.norm(inverse[:3, :3], axis=1)
    reach = 1.15 * (widest[:, None] + margin_mm) * spread
    low, high = np.minimum(first, second) - reach, np.maximum(first, second) + reach
    touches = (high >= 0).all(axis=1) & (low <= np.asarray(slab.shape) - 1).all(axis=1)
    for number in np.flatnonzero(touches):
        region = _slices(low[number], high[number], slab.shape)
        yield region, *_axis_distance(slab.points.at(region), tubes, int(number)), float(widest[number])


def _axis_distance(points: Points, tubes: Tubes, number: int) -> tuple[Field, Field]:
    start = tubes.start_mm[number].astype(np.float32)
    along = tubes.end_mm[number].astype(np.float32) - start
    x, y, z = points.x - start[0], points.y - start[1], points.z - start[2]
    length = max(float(along @ along), 1e-6)
    share = np.clip((x * along[0] + y * along[1] + z * along[2]) * np.float32(1.0 / length), 0.0, 1.0)
    x, y, z = x - share * along[0], y - share * along[1], z - share * along[2]
    near, far = tubes.radius_mm[number]
    return np.sqrt(x * x + y * y + z * z), near + share * np.float32(far - near)


def tube_distance(slab: Slab, tubes: Tubes, margin_mm: float) -> Field:
    """Return the signed distance to the nearest tube, at most `margin_mm`."""
    distance = np.full(slab.shape, margin_mm, dtype=np.float32)
    for region, axis_mm, radius_mm, _ in tube_distances(slab, tubes, margin_mm):
        np.minimum(distance[region], axis_mm - radius_mm, out=distance[region])
    return distance


def tube_coverage(slab: Slab, tubes: Tubes) -> Field:
    """Return the share of each voxel that the tubes fill, also of tubes thinner than a voxel."""
    covered = np.zeros(slab.shape, dtype=np.float32)
    half = slab.edge_mm / 2
    for region, axis_mm, radius_mm, _ in tube_distances(slab, tubes, half):
        drawn = np.maximum(radius_mm, np.float32(half))
        share = np.minimum((radius_mm / np.float32(half)) ** 2, 1.0)
        np.maximum(covered[region], share * coverage(axis_mm - drawn, slab.edge_mm), out=covered[region])
    return covered


def _slices(low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], shape: tuple[int, int, int]) -> Region:
    first = np.maximum(np.ceil(low), 0).astype(int)
    last = np.minimum(np.floor(high) + 1, shape).astype(int)
    depth, height, width = (slice(int(a), int(max(a, b))) for a, b in zip(first, last, strict=True))
    return depth, height, width


def tube_distance_at(points: Points, tubes: Tubes, margin_mm: float) -> Field:
    """Return the distance of `tube_distance` at points that lie on no grid."""
    distance = np.full(points.x.shape, margin_mm, dtype=np.float32)
    for number in range(len(tubes.start_mm)):
        axis_mm, radius_mm = _axis_distance(points, tubes, number)
        np.minimum(distance, axis_mm - radius_mm, out=distance)
    return distance
