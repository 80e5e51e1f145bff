"""Attention of a tiny model: sums and names that hold for any."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.config import EvaluateAttentionConfig, InferenceConfig, SampleConfig
from medsyn2.evaluation.control.evaluate_attention import COLUMNS, _about_findings, evaluate_attention
from medsyn2.facts import InventoryFacts, RegisterFacts, Report
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.weights.model_folder import DESCRIPTION
from tests.unit.records import inventory_facts, register_facts, write_shard

REPORT = Report("A nodule of 5 mm in the right upper lobe.", "Large pleural effusion.")
CASES = {"a": ("test", None), "b": ("train", REPORT), "c": ("test", REPORT), "d": ("test", REPORT)}


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path) -> Callable[..., pd.DataFrame]:
    def evaluated(
        num_steps: int = 2, max_cases: int = 1, with_reports: bool = True, with_means: bool = False
    ) -> pd.DataFrame:
        def listed(case: str, folder: Path) -> InventoryFacts:
            return inventory_facts(case, report=CASES[case][1] if with_reports else None)

        def registered(case: str, folder: Path) -> RegisterFacts:
            return register_facts(f"patient {case}", CASES[case][0])

        evaluate_attention(
            SampleConfig(),
            Sampling("euler", num_steps),
            EvaluateAttentionConfig(max_cases=max_cases),
            InferenceConfig(),
            model=tiny_model / DESCRIPTION,
            inventory=[write_shard(tmp_path / "inventory/0000.json", InventoryFacts, CASES, listed)],
            register=[write_shard(tmp_path / "register/0000.json", RegisterFacts, CASES, registered)],
            manifest=tmp_path / "evaluate_attention/held_out.json",
            table=tmp_path / "attention.csv",
            figure=tmp_path / "attention.png",
            settings=str(num_steps),
        )
        table = pd.read_csv(tmp_path / "attention.csv")
        return table if with_means else table[table["patient"].notna()]

    return evaluated


def test_held_out_reports_are_recorded_at_every_step_and_block(run: Callable[..., pd.DataFrame]) -> None:
    table = run(max_cases=5)
    assert list(table.columns) == [*COLUMNS, "num", "num_patients"]
    assert table["case"].tolist() == ["c", "d"]
    one, three = run(num_steps=1)["num_maps"].item(), run(num_steps=3)["num_maps"].item()
    assert three == 3 * one  # one call a step, the last of which goes to the end


def test_means_stand_above_the_cases(run: Callable[..., pd.DataFrame]) -> None:
    table = run(max_cases=5, with_means=True)
    assert table["case"].tolist() == ["mean", "known", "c", "d"]
    mass = table["first_token_mass"]
    assert mass[0] == pytest.approx((mass[2] + mass[3]) / 2, rel=1e-3)
    assert table.loc[0, ["num", "num_patients"]].tolist() == [2, 2]


def test_shares_are_shares(run: Callable[..., pd.DataFrame]) -> None:
    row = run().iloc[0]
    assert 0 < row["first_token_mass"] < 1
    assert 0 < row["entropy_share"] <= 1
    assert row["alike_mass"] * row["num_tokens"] == pytest.approx(1, rel=1e-3)
    assert row["num_finding_tokens"] >= 2
    alike = row["finding_mass"] / (row["num_finding_tokens"] * row["alike_mass"])
    assert row["finding_over_alike"] == pytest.approx(alike, rel=1e-3)


def test_without_reports_the_table_is_empty_and_the_figure_says_so(
    run: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    assert run(with_reports=False).empty
    assert (tmp_path / "attention.png").is_file()


def test_all_pieces_of_a_finding_s_word_are_about_it() -> None:
    tokens = ["[CLS]", "No", "##dule", "##s", "of", "mm", "effusion", "[SEP]"]
    np.testing.assert_array_equal(_about_findings(tokens), [0, 1, 1, 1, 0, 0, 1, 0])


def test_a_stopped_job_goes_on_with_the_next_case(
    run: Callable[..., pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, figure = run(max_cases=5, with_means=True), (tmp_path / "attention.png").read_bytes()
    kept = tmp_path / "evaluate_attention/held_out"
    (kept / "d.json").unlink()
    time = (kept / "c.json").stat().st_mtime_ns
    pd.testing.assert_frame_equal(run(max_cases=5, with_means=True), whole)
    assert (tmp_path / "attention.png").read_bytes() == figure
    assert (kept / "c.json").stat().st_mtime_ns == time
    monkeypatch.setattr(MedSyn2Pipeline, "from_pretrained", None)  # a finished stage loads no model
    run(max_cases=5)
