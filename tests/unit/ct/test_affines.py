"""Affines are copied, checked and read."""

import numpy as np
import pytest

from medsyn2.ct.affines import axis_aligned_affine, check_affine, orthonormalize, shear_of, spacing_of


def test_an_affine_along_the_axes_has_its_spacing_and_no_shear() -> None:
    affine = axis_aligned_affine((2.5, 0.7, 0.8), (1.0, 2.0, 3.0))
    assert spacing_of(check_affine(affine)) == pytest.approx((2.5, 0.7, 0.8))
    assert shear_of(affine) == 0.0
    repaired, shear = orthonormalize(affine, "a file")
    assert shear == 0.0
    np.testing.assert_array_equal(repaired, affine)
