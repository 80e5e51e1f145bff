"""Rows say what they are of and what they compare with; extractor and protocol are as configured."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.errors import WeightsError
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.features.recipe import extractor_of, protocol_of
from medsyn2.evaluation.fidelity.table_one import table_rows


def bank(kind: str, seed: int) -> Bank:
    rng = np.random.default_rng(seed)
    facts = BankFacts(
        kind, f"{kind} ones", "weights", "0", "itself", {"name": "paper"}, "ab" * 32, (-1.0, 1.0), None
    )
    names = tuple(f"{kind}{i}" for i in range(5))
    part = Part(rng.normal(size=(10, 4)).astype(np.float32), np.repeat(np.arange(5), 2))
    return Bank(facts, names, names, {f"lung/{plane}": part for plane in ("axial", "sagittal", "coronal")})


def test_a_row_a_plane_and_their_mean() -> None:
    rows = table_rows("lung", bank("real", 0), bank("synthetic", 1), EvaluateFidConfig(num_draws=4))
    assert [row["plane"] for row in rows] == ["axial", "sagittal", "coronal", "mean"]
    assert {row["condition"] for row in rows} == {"synthetic ones"}
    assert rows[0]["compares_with"] == "itself"
    assert rows[0]["protocol_sha256"] == "ab" * 6
    assert (rows[0]["num_real"], rows[0]["num_patients"]) == (5, 5)


def test_without_weights_the_extractor_is_weight_free_and_given_ones_must_be_there(tmp_path: Path) -> None:
    assert extractor_of(EvaluateFidConfig(seed=3)).name == "weight_free(seed=3)"
    with pytest.raises(WeightsError, match="weights-missing"):
        extractor_of(EvaluateFidConfig(radimagenet=tmp_path / "none.safetensors"))


def test_protocol_takes_the_model_s_range_or_its_own() -> None:
    grid = GridConfig(clip_hu=(-1024.0, 600.0))
    assert protocol_of(grid, EvaluateFidConfig()).clip_hu == (-1024.0, 600.0)
    assert protocol_of(grid, EvaluateFidConfig(protocol="maisi")).clip_hu == (-1000.0, 1000.0)
