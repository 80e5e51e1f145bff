"""Rows of a case are kept as they are, and a case that was refused is named with its reason."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import SegmenterError
from medsyn2.evaluation.case_rows import load_measured, read_rows, write_rows
from medsyn2.facts import CaseFacts
from tests.unit.records import write_shard

ROWS = [{"case": "a", "dice": 1 / 3, "missed": False}, {"case": "a", "dice": float("nan"), "missed": True}]


def measure(case: str, folder: Path) -> CaseFacts:
    if case == "b":
        raise SegmenterError("the tool found no chest", code="no-chest", remedy="look at it")
    write_rows(folder, ROWS)
    return CaseFacts(f"patient {case}", "test")


def test_rows_come_back_and_refused_cases_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [write_shard(tmp_path / f"measure_hu/000{i}.json", CaseFacts, of, measure) for i, of in enumerate("ab")]
    records = load_measured(paths, CaseFacts)
    assert list(records) == ["a"]
    first, second = read_rows(records["a"])
    assert first == ROWS[0]
    assert np.isnan(second["dice"])
    assert second["missed"] is True
    assert "b is left out, refused by measure_hu: the tool found no chest" in caplog.text
