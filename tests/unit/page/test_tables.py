"""The tables of the page follow each case through the stages."""

from pathlib import Path

import pandas as pd

from medsyn2.page.tables import case_table, timing_table, without_formulas
from medsyn2.store.artefacts import Manifest, Problem, Record, Refusal


def manifest(stage: str, *records: Record[dict] | Refusal) -> Manifest[dict]:
    """A shard's manifest."""
    return Manifest(stage, Path("results") / stage / "0000", {record.case: record for record in records})


def test_each_case_has_a_row_and_each_refusal_its_stage() -> None:
    facts = {"subject": "s", "split": "train", "path": "=cmd()", "report": {"findings": "x"}}
    problem = Problem("lungs-small", "too small", "look")
    inventory = manifest(
        "inventory", Record("a", "", {}, {**facts, "warnings": ["padded", "no unit"]}),
        Record("b", "", {}, facts),
        Refusal("c", "", Problem("torn", "torn file", "again")),
    )  # fmt: skip
    register = manifest(
        "register",
        Record("a", "", {}, {"lung_dice": 0.9, "warnings": ["seems mirrored"]}),
        Refusal("b", "", problem),
    )
    masks = manifest("masks", Record("a", "", {}, {"masks": {"heart": {"state": "present"}}}))
    cases, refused = case_table([inventory], {"register": [register], "masks": [masks]})
    assert cases["status"].tolist() == ["ok", "refused by register", "refused by inventory"]
    assert (cases["lung_dice"][0], cases["heart"][0], cases["report"][0]) == (0.9, "present", "yes")
    assert refused[["case", "stage", "code"]].values.tolist() == [
        ["b", "register", "lungs-small"],
        ["c", "inventory", "torn"],
    ]
    assert cases["warnings"].tolist() == ["padded; no unit; seems mirrored", "", ""]
    assert cases["path"][0] == "'=cmd()"


def test_timings_add_up() -> None:
    tables = [pd.DataFrame({"s": [2.0], "max_rss": [100.0]}), pd.DataFrame({"s": [3.0], "max_rss": ["-"]})]
    row = timing_table({"register": tables}).iloc[0]
    assert (row["jobs"], row["seconds"], row["longest_s"], row["peak_mb"]) == (2, 5.0, 3.0, 100.0)


def test_formulas_become_text_and_numbers_stay() -> None:
    frame = without_formulas(pd.DataFrame({"a": ["@x", "fine"], "b": [-1, 2]}))
    assert frame["a"].tolist() == ["'@x", "fine"]
    assert frame["b"].tolist() == [-1, 2]
