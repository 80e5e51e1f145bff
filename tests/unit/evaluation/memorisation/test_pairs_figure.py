"""The sheet of pairs is a PNG with a row a pair, the same for the same pairs."""

import struct

import numpy as np

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.memorisation.pairs_figure import Pair, pairs_png


def volume(seed: int) -> CTVolume:
    hu = np.random.default_rng(seed).integers(-1000, 200, (8, 10, 12)).astype(np.int16)
    return CTVolume(hu, axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0)))


def test_a_row_a_pair() -> None:
    one, two = ([Pair(volume(i), volume(i + 9), f"case {i}") for i in range(num)] for num in (1, 2))
    heights = [struct.unpack(">I", pairs_png(pairs)[20:24])[0] for pairs in (one, two)]
    assert heights == [260, 460]
    assert pairs_png(one) == pairs_png(one)
