"""Features of other programs have a distance with a floor at any count, a Frechet distance of many patients alone."""

import numpy as np
import pandas as pd
import pytest

from medsyn2.config import EvaluateFidConfig
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.fidelity.foreign import MIN_FRECHET_PATIENTS, bank_rows

CONFIG = EvaluateFidConfig(num_draws=2)


def bank(source: str, num: int, shift: float = 0.0, extractor: str = "net") -> Bank:
    rng = np.random.default_rng(len(source) + num)
    kind = "real" if source == "real" else "synthetic"
    facts = BankFacts(kind, source, extractor, "0", "itself", {}, "0", (-1.0, 1.0), None)
    names = tuple(f"{source}{index}" for index in range(num))
    parts = {
        part: Part(rng.normal(shift, 1, (num, 10)).astype(np.float32), np.arange(num)) for part in ("image", "top")
    }
    return Bank(facts, names, names, parts)


def test_few_patients_have_no_frechet_distance_and_are_told_apart_by_the_kernel() -> None:
    table = pd.DataFrame(bank_rows(bank("real", 10), bank("net a", 10, shift=1.5), CONFIG))
    assert table[["part", "condition"]].to_numpy().tolist() == [
        ["image", "real"], ["top", "real"], ["image", "net a"], ["top", "net a"],
    ]  # fmt: skip
    assert table[["fid", "fid_low", "fid_at_floor", "floor", "fid_infinity"]].isna().all(axis=None)
    theirs = table[table["condition"] == "net a"]
    assert (theirs["mmd"] > theirs["mmd_floor"]).all()
    assert (table["mmd_p"] > 0.01).tolist() == [True, True, False, False]
    assert table["num_patients"].tolist() == [5, 5, 10, 10]


def test_many_patients_have_one() -> None:
    num = MIN_FRECHET_PATIENTS
    table = pd.DataFrame(bank_rows(bank("real", num), bank("net a", num), CONFIG)).set_index("condition")
    assert table.loc["net a", "fid"].notna().all()
    assert table.loc["real", "fid"].isna().all()  # halves of 32


def test_banks_of_two_extractors_are_refused() -> None:
    with pytest.raises(EnvironmentFault, match="banks-differ"):
        list(bank_rows(bank("real", 8), bank("net a", 8, extractor="other"), CONFIG))
