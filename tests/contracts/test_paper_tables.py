"""The audit finds what was found by hand, and its arithmetic is right where the answer is known."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("paper_tables", ROOT / "benchmarks/paper_tables.py")
paper_tables = importlib.util.module_from_spec(SPEC)
sys.modules["paper_tables"] = paper_tables
SPEC.loader.exec_module(paper_tables)
FINDINGS, two_groups = paper_tables.findings(), paper_tables.two_groups


def test_the_page_is_current() -> None:
    page = ROOT / "docs/explanation/paper-tables.md"
    assert page.read_text(encoding="utf-8") == paper_tables.render_page()


def about(table: str, subject: str, word: str = "") -> list:
    return [f for f in FINDINGS if f.table == table and f.subject.startswith(subject) and word in f.message]


def test_means_of_the_planes_reproduce_and_gains_are_those_of_the_abstract() -> None:
    means = [f for f in FINDINGS if f.table == "1" and "mean of the planes" in f.message]
    assert len(means) == 16
    assert {f.verdict for f in means} == {"agrees"}
    assert "23.8%" in about("1", "MedSyn2, lung mean")[0].message
    axial = [f.subject for f in FINDINGS if f.table == "1" and f.subject.endswith("axial")]
    assert len(axial) == 4  # not best on any axial plane


def test_exchanged_columns_of_table_5_are_found() -> None:
    verdicts = {f.subject: f.verdict for f in FINDINGS if f.table == "5" and "0.95" in f.message}
    assert verdicts["Synthesized_416"] == verdicts["Combined_466"] == "cannot be"
    assert verdicts["Real_50"] == "agrees"
    assert verdicts["Inf-Net"] == verdicts["MEDPSeg"] == "notable"


def test_one_distance_in_two_units_is_found() -> None:
    assert [f.verdict for f in about("7", "reconstructed")] == ["cannot be"]


def test_cases_of_two_kinds_are_found() -> None:
    assert "39% of cases at Dice 1 and the rest at 0.04" in about("7", "Nodule, gen_gt")[0].message
    assert "from the mean Dice" in about("7", "Vessel, gen_gt")[0].message
    assert about("7", "Heart, gen_gt")[0].verdict == "agrees"


def test_readers_are_compared_as_counts_allow() -> None:
    assert {f.verdict for f in about("4", "R", "Table 8 sums")} == {"agrees"}
    assert "-12.0%" in about("4", "R1", "matches")[0].message
    assert "at most 0.39" in about("8", "Real")[0].message
    assert "at most 0.70" in about("8", "Synthetic")[0].message


def test_finding_nothing_has_the_best_accuracy() -> None:
    assert about("3", "MedSyn", "finding nothing")[0].subject == "MedSyn"


@pytest.mark.parametrize(("share", "rest"), [(0.4, 0.05), (0.2, 0.6), (0.9, 0.3)])
def test_two_groups_are_recovered(share: float, rest: float) -> None:
    dice, jaccard = (share + (1 - share) * value for value in (rest, rest / (2 - rest)))
    assert two_groups(dice, jaccard) == pytest.approx((share, rest), abs=1e-6)
    assert two_groups(0.5, 0.2) is None
