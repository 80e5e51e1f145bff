"""Seams between the transformer's tokens: are neighbouring voxels less alike across a token's border than elsewhere?

A transformer predicts a volume token by token, each a block of voxels (16 x 16 in the plane in the paper's model). If
tokens disagree at their borders, the volume shows the grid of the blocks. Along each axis with pitch p let

    across_a  mean |x[i+1] - x[i]| over the planes between two tokens (i + 1 a multiple of p)
    within_a  the same over all other planes

and the index be sum_a across_a / sum_a within_a. It is 1 for a ramp, and for white noise on average; it grows as
borders show, and does not depend on the unit or the offset of the values. Anatomy on a border counts too, and so does
the tokenizer with its smaller blocks: read a value against those of real volumes of the same cases and their
reconstructions.
"""

from collections.abc import Sequence
from math import nan

import numpy as np
from jaxtyping import Float, Num

Pitches = Sequence[int | None]


def token_pitches(shape: Sequence[int], latent_grid: Sequence[int], patch: Sequence[int]) -> tuple[int | None, ...]:
    """Return the voxels of a token along each axis; None where the tokens do not share the voxels evenly."""
    pitches: list[int | None] = []
    for size, latents, voxels in zip(shape, latent_grid, patch, strict=True):
        tokens = latents // voxels
        pitches.append(size // tokens if size % tokens == 0 and size // tokens > 1 else None)
    return tuple(pitches)


def blockiness(values: Num[np.ndarray, "d h w"], pitches: Pitches) -> float:
    """Return the index; NaN of a volume that is constant within its tokens, or without a border."""
    across, within = 0.0, 0.0
    for profile in profiles(values, pitches):
        across += float(profile[-1])
        within += float(profile[:-1].mean())
    return across / within if within > 0 else nan


def profiles(values: Num[np.ndarray, "d h w"], pitches: Pitches) -> list[Float[np.ndarray, " p"]]:
    """Return for each axis with a border the mean difference of neighbours, by place in the token.

    Entry j is between the planes j and j + 1 of all tokens; the last is across the border to the next token.
    """
    found = []
    for axis, pitch in enumerate(pitches):
        if pitch is None or pitch >= values.shape[axis]:
            continue
        steps = np.abs(np.diff(values.astype(np.float32), axis=axis))
        others = tuple(other for other in range(3) if other != axis)
        planes = steps.mean(axis=others, dtype=np.float64)
        found.append(np.array([planes[place::pitch].mean() for place in range(pitch)]))
    return found
