import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from medsyn2.errors import MaskError
from medsyn2.server.runs import LENGTH, decode_runs, encode_runs, max_bytes


@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_a_mask_comes_back(mask):
    np.testing.assert_array_equal(decode_runs(encode_runs(mask), mask.shape), mask)


def test_the_first_run_is_of_background():
    mask = np.zeros((2, 2, 2), bool)
    mask[0, 0, 0] = mask[1, 1] = True
    assert np.frombuffer(encode_runs(mask), LENGTH).tolist() == [0, 1, 5, 2]


@given(st.binary(max_size=40))
def test_any_bytes_are_a_mask_or_refused(content):
    with suppress(MaskError):
        assert decode_runs(content, (2, 3, 4)).shape == (2, 3, 4)


def test_lengths_that_overflow_are_refused():
    with pytest.raises(MaskError):
        decode_runs(np.full(5, 2**32 - 1, LENGTH).tobytes(), (2, 3, 4))


def test_a_large_mask_takes_a_few_bytes_a_voxel():
    """At 448 x 448 x 448 that is at most 0.4 GB, beside the mask's own 0.09 GB."""
    mask = np.zeros((128, 128, 128), bool)
    mask[20:90, 30:100, 40:110] = True
    tracemalloc.start()
    runs = encode_runs(mask)
    decode_runs(runs, mask.shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / mask.size < 4
    assert len(runs) < max_bytes(mask.shape) / 20
