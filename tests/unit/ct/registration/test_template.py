"""Means of affines and of volumes, and grids around a point."""

import numpy as np
import pytest
from scipy.linalg import expm

from medsyn2.ct.registration.template import average, grid_around, mean_affine, working_grid
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine


def test_grid_has_its_middle_where_it_was_asked_for() -> None:
    grid = grid_around((10, 21, 8), (3.0, 2.0, 1.5), (5.0, -7.0, 11.0))
    middle = grid.affine_mm @ [*((np.array(grid.shape) - 1) / 2), 1.0]
    np.testing.assert_allclose(middle[:3], [5.0, -7.0, 11.0], atol=1e-5)
    coarse = working_grid(grid, 6.0)
    assert coarse.spacing_mm == pytest.approx((6.0, 6.0, 6.0))
    again = coarse.affine_mm @ [*((np.array(coarse.shape) - 1) / 2), 1.0]
    np.testing.assert_allclose(again[:3], middle[:3], atol=1e-4)


def test_mean_of_an_affine_and_its_inverse_is_the_identity() -> None:
    generator = np.zeros((4, 4))
    generator[:3] = np.random.default_rng(0).normal(scale=0.2, size=(3, 4))
    np.testing.assert_allclose(mean_affine([expm(generator), expm(-generator)]), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(mean_affine([expm(generator)] * 3), expm(generator), atol=1e-9)


def test_average_of_two_volumes_is_their_mean_where_both_reach() -> None:
    affine = axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    lungs = np.zeros((12, 12, 12), np.uint8)
    lungs[3:9, 3:9, 2:5], lungs[3:9, 3:9, 7:10] = 2, 1
    names = {1: "left_lung", 2: "right_lung"}
    cases = [
        (CTVolume(np.full((12, 12, 12), hu, np.int16), affine), LabelMap(lungs, affine, names), np.eye(4))
        for hu in (-800, -600)
    ]
    volume, found = average(cases, Grid((12, 12, 12), affine))
    assert (np.abs(volume.hu[2:-2, 2:-2, 2:-2].astype(int) + 700) <= 1).all()
    np.testing.assert_array_equal(found.labels[3:9, 3:9, 2:10], lungs[3:9, 3:9, 2:10])
