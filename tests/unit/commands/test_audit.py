"""The paper's values and a run's stand in columns of their own."""

from pathlib import Path

import pandas as pd
import pytest

from medsyn2.cli import main


def test_findings_and_tables_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "fid_lung.csv").write_text(
        "window,condition,plane,fid\nlung,lobes,axial,9\nlung,report,axial,1.5\n"
    )
    (results / "mask_agreement.csv").write_text(
        "structure,comparison,dice,jaccard,hd95_max_mm,assd_mm\nheart,requested,0.8,0.7,4,1\nheart,ceiling,1,1,0,0\n"
    )
    assert main(["audit", "--out", str(tmp_path / "audit"), "--results", str(results)]) == 0
    assert "Synthesized_416" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "audit" / "findings.csv")
    assert set(found["verdict"]) == {"agrees", "notable", "cannot be"}
    tables = pd.read_csv(tmp_path / "audit" / "tables.csv").set_index(["table", "row", "column"])
    assert tables.loc[(1, "MedSyn2", "lung axial")].tolist() == [10.96, 1.5]
    assert tables.loc[(7, "Heart", "gen_gt dice")].tolist() == [86.4, 80.0]
    assert tables.loc[(7, "Heart", "gen_gt hd95"), "this_run"] == 4.0
    assert tables["this_run"].notna().sum() == 5


def test_without_a_run_the_column_beside_is_empty(tmp_path: Path) -> None:
    assert main(["audit", "--out", str(tmp_path)]) == 0
    tables = pd.read_csv(tmp_path / "tables.csv")
    assert tables["this_run"].isna().all()
    assert tables["paper_as_printed"].notna().all()
