"""The tables of the page follow each case through the stages."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from medsyn2.facts import Listed, Report, TextFacts
from medsyn2.page.tables import RunManifests, case_table, escape_formulas, timing_table
from medsyn2.store.artefacts import Manifest, Problem, Record, Refusal
from tests.unit.records import inventory_facts, masks_facts, register_facts

Facts = TypeVar("Facts")


def shard(stage: str, *records: Record[Facts] | Refusal) -> list[Manifest[Facts]]:
    """The manifest of a shard."""
    return [Manifest(stage, Path("results") / stage / "0000", {record.case: record for record in records})]


def test_each_case_has_a_row_and_each_refusal_its_stage() -> None:
    scan = inventory_facts("s", path="=cmd()", report=Report("x"))
    run = RunManifests(
        inventory=shard(
            "inventory",
            Record("a", "", {}, replace(scan, warnings=("padded", "no unit"))),
            Record("b", "", {}, replace(scan, image="another")),
            Refusal("c", "", Problem("torn", "torn file", "again"), Listed("s", "test", "c.nii.gz")),
        ),
        register=shard(
            "register",
            Record("a", "", {}, register_facts(lung_dice=0.9, warnings=("seems mirrored",))),
            Refusal("b", "", Problem("lungs-small", "too small", "look")),
        ),
        masks=shard("masks", Record("a", "", {}, masks_facts(states={"heart": "present"}))),
    )
    cases, refused = case_table(run)
    assert cases["status"].tolist() == ["ok", "refused by register", "refused by inventory"]
    assert (cases["lung_dice"][0], cases["heart"][0], cases["report"][0]) == (0.9, "present", "yes")
    assert refused[["case", "stage", "code"]].values.tolist() == [
        ["b", "register", "lungs-small"],
        ["c", "inventory", "torn"],
    ]
    assert cases["warnings"].tolist() == ["padded; no unit; seems mirrored", "", ""]
    assert cases["path"].tolist() == ["'=cmd()", "'=cmd()", "c.nii.gz"]
    assert cases["split"].tolist() == ["train", "train", "test"]


def test_warnings_of_texts_and_scans_that_are_there_twice_are_shown() -> None:
    text = TextFacts("s", "train", {}, 32, has_report=True, warnings=("report: another language?",))
    one = inventory_facts(image="x")
    run = RunManifests(
        inventory=shard("inventory", Record("a", "", {}, one), Record("b", "", {}, one)),
        text=shard("encode_text", Record("a", "", {}, text)),
    )
    found = case_table(run)[0]["warnings"].tolist()
    assert found == ["report: another language?", "holds the same voxels as a"]


def test_timings_add_up() -> None:
    tables = [pd.DataFrame({"s": [2.0], "max_rss": [100.0]}), pd.DataFrame({"s": [3.0], "max_rss": ["-"]})]
    row = timing_table({"register": tables}).iloc[0]
    assert (row["jobs"], row["seconds"], row["longest_s"], row["peak_mb"]) == (2, 5.0, 3.0, 100.0)


def test_formulas_become_text_and_numbers_stay() -> None:
    frame = escape_formulas(pd.DataFrame({"a": ["@x", "fine"], "b": [-1, 2]}))
    assert frame["a"].tolist() == ["'@x", "fine"]
    assert frame["b"].tolist() == [-1, 2]
