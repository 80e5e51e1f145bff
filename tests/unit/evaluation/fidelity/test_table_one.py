"""Rows name their source, their counts and the values they compare with."""

import numpy as np

from medsyn2.config import EvaluateFidConfig
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
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
