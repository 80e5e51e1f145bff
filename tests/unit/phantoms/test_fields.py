"""Shapes against their closed forms."""

import numpy as np
import pytest

from medsyn2.ct.volume import Grid, axis_aligned_affine
from medsyn2.phantoms.anatomy import draw_anatomy
from medsyn2.phantoms.fields import (
    Points,
    Slab,
    Tubes,
    bend,
    coverage,
    ellipsoid,
    slabs,
    smooth_max,
    smooth_min,
    tube_coverage,
    tube_distance,
    tube_distance_at,
    unbend,
)


@pytest.fixture
def slab():
    return Slab((40, 44, 48), axis_aligned_affine((1.0, 1.0, 1.0), (-24.0, -22.0, -20.0)), ())


def random_points(count, seed=0):
    return Points(*np.random.default_rng(seed).uniform(-120, 120, size=(3, count)).astype(np.float32))


def test_unbending_undoes_bending():
    for seed in range(5):
        waves = draw_anatomy(np.random.default_rng(seed)).waves
        points = random_points(500)
        back = unbend(waves, bend(waves, points))
        assert np.abs(np.stack(back) - np.stack(points)).max() < 0.02


def test_coverage_is_half_at_the_surface_and_integrates_to_the_volume(slab):
    assert coverage(np.float32([-9, 0, 9]), 2.0).tolist() == [1.0, 0.5, 0.0]
    ball = ellipsoid(slab.points, (0.3, -0.2, 0.1), (10.0, 10.0, 10.0))
    assert coverage(ball, slab.edge_mm).sum() == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)


def test_an_ellipsoid_turns_with_its_axes():
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    points = random_points(200)
    turned = ellipsoid(points, (0, 0, 0), (40.0, 20.0, 30.0), quarter)
    assert turned == pytest.approx(ellipsoid(points, (0, 0, 0), (20.0, 40.0, 30.0)), abs=1e-2)
    sphere = ellipsoid(points, (1.0, 2.0, 3.0), (25.0, 25.0, 25.0))
    exact = np.sqrt((points.x - 1) ** 2 + (points.y - 2) ** 2 + (points.z - 3) ** 2) - 25
    assert sphere == pytest.approx(exact, abs=1e-2)


def test_smooth_union_and_intersection_are_exact_far_from_the_seam():
    first, second = np.float32([0.0, 5.0, 1.0]), np.float32([10.0, -6.0, 1.0])
    assert smooth_min(first, second, 4.0).tolist() == [0.0, -6.0, 0.0]
    assert smooth_max(first, second, 4.0).tolist() == [10.0, 5.0, 2.0]


def test_a_tube_has_its_volume_and_its_distance(slab):
    tube = Tubes.along([(-12.0, 0.0, 0.0), (12.0, 0.0, 0.0)], [3.0, 3.0])
    expected = np.pi * 9 * 24 + 4 / 3 * np.pi * 27
    assert tube_coverage(slab, tube).sum() == pytest.approx(expected, rel=0.02)
    distance = tube_distance(slab, tube, 8.0)
    everywhere = tube_distance_at(slab.points, tube, 8.0)
    assert distance == pytest.approx(everywhere, abs=1e-4)


def test_a_thin_tube_fills_its_share(slab):
    thin = Tubes.along([(-12.0, 0.3, 0.2), (12.0, 0.3, 0.2)], [0.3, 0.3])
    assert tube_coverage(slab, thin).sum() == pytest.approx(np.pi * 0.09 * 24, rel=0.45)
    assert tube_coverage(slab, thin).max() < 0.4


def test_slabs_cover_the_grid_once():
    grid = Grid((13, 6, 5), axis_aligned_affine((2.0, 3.0, 4.0), (1.0, 2.0, 3.0)))
    parts = list(slabs(grid, np.eye(4), (), 4 * 30))
    assert [(part.start, part.stop) for part, _ in parts] == [(0, 4), (4, 8), (8, 12), (12, 13)]
    z = np.concatenate([slab.points.z[:, 0, 0] for _, slab in parts])
    assert z == pytest.approx(3.0 + 2.0 * np.arange(13))
