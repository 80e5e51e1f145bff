"""Slices that are counted are those that the protocols give."""

import pytest

from medsyn2.config import Config, validate_config
from medsyn2.evaluation.features.protocols import make_protocol
from medsyn2.evaluation.features.sizes import WEIGHT_FREE_WIDTH, SliceSizes, takes_all_volumes


def config(**fid: object) -> Config:
    """Return the defaults with some keys of evaluate_fid."""
    return validate_config({"evaluate_fid": fid}, source="test")


@pytest.mark.parametrize("protocol", ["paper", "maisi", "vlm3d"])
def test_sizes_are_the_protocol_s(protocol: str) -> None:
    made = config(protocol=protocol, slices_per_volume=None)
    truth, found = make_protocol(protocol, clip_hu=(-1024.0, 1024.0)), SliceSizes.of(made)
    lengths = made.grid.shape if truth.cube is None else (truth.cube,) * 3
    assert found.slices == tuple(len(truth.slice_positions(length)) for length in lengths)
    assert found.shapes == ((lengths[1], lengths[2]), (lengths[0], lengths[2]), (lengths[0], lengths[1]))
    assert found.bytes_per_pass == 4 * sum(found.slices) * WEIGHT_FREE_WIDTH
    assert takes_all_volumes(made) == (truth.max_volumes is None)
