"""The comparison of variants: the same bytes twice, a row more a case, and steps where neighbours differ."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.control.blockiness import profiles
from medsyn2.evaluation.control.variants_figure import STEP_HU, mean_profile, steps, variants_png
from medsyn2.page.strips import Picture

AFFINE = axis_aligned_affine((3.0, 2.0, 2.0), (0.0, 0.0, 0.0))
PITCHES = (4, 8, 8)
VOLUME = CTVolume(np.random.default_rng(0).integers(-1000, 100, (8, 16, 16)).astype(np.int16), AFFINE)
SEAMS = {"main": [profiles(VOLUME.hu, PITCHES)]}


def test_more_cases_make_a_higher_picture_and_the_same_bytes_twice() -> None:
    row = [Picture(VOLUME, "real"), Picture(VOLUME, "SYNTHETIC, main")]
    png = variants_png([row], PITCHES, SEAMS)
    assert png == variants_png([row], PITCHES, SEAMS)
    one, two = (imread(io.BytesIO(each)) for each in (png, variants_png([row, row], PITCHES, SEAMS)))
    assert two.shape[0] > one.shape[0]
    assert two.shape[1] == one.shape[1]


def test_tokens_that_have_no_even_pitch_leave_the_curves_out() -> None:
    row = [Picture(VOLUME, "real")]
    assert variants_png([row], (None, None, None), {"real": [[]]})


def test_steps_are_those_of_the_plane_s_axes() -> None:
    hu = np.zeros((4, 4, 4), np.int16)
    hu[:, 2:, :] = STEP_HU  # a step along height, which a coronal slice does not see
    volume = CTVolume(hu, AFFINE)
    assert np.ptp(steps(volume, "coronal").hu) == 0
    seen = steps(volume, "axial").hu
    assert (seen[:, 1] == seen.max()).all()
    assert (np.delete(seen, 1, axis=1) == seen.min()).all()


def test_a_curve_is_in_multiples_of_what_is_within_and_of_the_largest_tokens() -> None:
    seams = [[np.full(3, 9.0), np.array([2.0, 2.0, 2.0, 4.0]), np.array([4.0, 4.0, 4.0, 8.0])]]
    assert mean_profile(seams) == pytest.approx([1, 1, 1, 2])
