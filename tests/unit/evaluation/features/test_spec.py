"""Extractor and protocol are as configured."""

from pathlib import Path

import pytest

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.errors import WeightsError
from medsyn2.evaluation.features.spec import extractor_of, make_spec, protocol_of


def test_without_weights_the_extractor_is_weight_free_and_given_ones_must_be_there(tmp_path: Path) -> None:
    assert extractor_of(EvaluateFidConfig(seed=3)).name == "weight_free(seed=3)"
    with pytest.raises(WeightsError, match="weights-missing"):
        extractor_of(EvaluateFidConfig(radimagenet=tmp_path / "none.safetensors"))


def test_protocol_takes_the_model_s_range_or_its_own() -> None:
    grid = GridConfig(clip_hu=(-1024.0, 600.0))
    assert protocol_of(grid, EvaluateFidConfig()).clip_hu == (-1024.0, 600.0)
    assert protocol_of(grid, EvaluateFidConfig(protocol="maisi")).clip_hu == (-1000.0, 1000.0)


def test_a_spec_has_the_configured_protocol_and_extractor_and_the_given_windows() -> None:
    spec = make_spec(GridConfig(), EvaluateFidConfig(seed=3, slices_per_volume=2), ("lung",))
    assert (spec.protocol.name, spec.extractor.name) == ("paper, 2 slices", "weight_free(seed=3)")
    assert spec.windows == ("lung",)
