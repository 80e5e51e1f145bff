"""What is counted of slices and features is what the protocols and the extractors give."""

import numpy as np
import pytest

from medsyn2.config import validate_config
from medsyn2.evaluation.features.extractors import RandomBank
from medsyn2.evaluation.features.protocols import make_protocol
from medsyn2.evaluation.features.sizes import WEIGHT_FREE_WIDTH
from medsyn2.evaluation.fidelity.memory import Banks


@pytest.mark.parametrize("protocol", ["paper", "maisi", "vlm3d"])
@pytest.mark.parametrize("num_slices", [None, 12])
def test_slices_and_volumes_are_the_protocol_s(protocol: str, num_slices: int | None) -> None:
    settings = {"protocol": protocol, "slices_per_volume": num_slices}
    config = validate_config({"evaluate_fid": settings}, source="test")
    truth = make_protocol(protocol, clip_hu=(-1024.0, 1024.0), num_slices=num_slices)
    counted = Banks.of(config, 300, 10)
    lengths = config.grid.shape if truth.cube is None else (truth.cube,) * 3
    assert counted.slices == tuple(len(truth.slice_positions(length)) for length in lengths)
    assert counted.real == min(300, truth.max_volumes or 300)


def test_features_are_as_many_as_the_extractor_gives() -> None:
    assert RandomBank(0)(np.zeros((1, 16, 16), np.float32)).shape[1] == WEIGHT_FREE_WIDTH


def test_sampled_cases_and_other_generators_are_counted() -> None:
    values = {"sample": {"max_cases": 2, "structures": ["lobes", "heart"]}}
    counted = Banks.of(validate_config(values, source="test"), 30, 3)
    assert (counted.real, counted.synthetic, counted.conditions) == (30, 6, 3)
    assert counted.passes == 4 * (30 + 6 * 3)
    values["evaluate_fid"] = {"baselines": {"Other": {"folder": "theirs"}}}
    counted = Banks.of(validate_config(values, source="test"), 30, 3)
    assert (counted.synthetic, counted.conditions) == (30, 4)
