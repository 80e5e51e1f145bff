"""The index of seams: what has none, what has some, and what must not matter."""

import numpy as np
import pytest

from medsyn2.evaluation.control.blockiness import blockiness, profiles, token_pitches

SHAPE, PITCHES = (32, 48, 48), (8, 16, 16)
DEPTH, HEIGHT, WIDTH = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
NOISE = np.random.default_rng(0).normal(0, 100, SHAPE)


def blocks(size: float) -> np.ndarray:
    """One random value a token."""
    tokens = np.random.default_rng(1).normal(0, size, [n // p for n, p in zip(SHAPE, PITCHES, strict=True)])
    return np.kron(tokens, np.ones(PITCHES))


@pytest.mark.parametrize("slopes", [(1, 0, 0), (0, 3, 0), (2, -1, 5)])
def test_a_ramp_has_no_seams(slopes: tuple[float, float, float]) -> None:
    ramp = slopes[0] * DEPTH + slopes[1] * HEIGHT + slopes[2] * WIDTH
    assert blockiness(ramp, PITCHES) == pytest.approx(1)


def test_white_noise_has_none_on_average() -> None:
    assert blockiness(NOISE, PITCHES) == pytest.approx(1, abs=0.02)


def test_blocks_have_more_the_more_they_differ() -> None:
    found = [blockiness(NOISE + blocks(size), PITCHES) for size in (0, 50, 200, 800)]
    assert found == sorted(found)
    assert found[1] > 1.02
    assert found[-1] > 3


def test_neither_unit_nor_offset_matters() -> None:
    volume = NOISE + blocks(100)
    assert blockiness(-2.5 * volume + 40, PITCHES) == pytest.approx(blockiness(volume, PITCHES), rel=1e-5)


def test_blocks_elsewhere_are_no_seams() -> None:
    shifted = NOISE + np.roll(blocks(400), (4, 8, 8), axis=(0, 1, 2))
    assert blockiness(shifted, PITCHES) < 1


def test_a_profile_shows_where_in_the_token_neighbours_differ() -> None:
    depth, height, width = profiles(blocks(100), PITCHES)
    assert (len(depth), len(height), len(width)) == PITCHES
    for profile in (depth, height, width):
        assert (profile[:-1] == 0).all()
        assert profile[-1] > 0


def test_what_has_no_inside_or_no_border_is_not_a_number() -> None:
    assert np.isnan(blockiness(blocks(100), PITCHES))
    assert np.isnan(blockiness(NOISE, (None, None, 48)))


def test_tokens_that_share_the_voxels_evenly_have_a_pitch() -> None:
    assert token_pitches((448, 448, 448), (112, 56, 56), (2, 2, 2)) == (8, 16, 16)
    assert token_pitches((33, 64, 64), (9, 8, 8), (1, 2, 2)) == (None, 16, 16)
