"""The paper's values and a run's stand in columns of their own, and the paper's tables in files of their own."""

from pathlib import Path

import pandas as pd
import pytest

from medsyn2.cli import main
from medsyn2.evaluation.paper.printed import PRINTED
from medsyn2.page.render import shown


def test_findings_and_tables_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "fid_lung.csv").write_text(
        "window,condition,plane,fid,extractor,protocol\n"
        "lung,lobes,axial,9,radimagenet_resnet50(keras),paper\nlung,report,axial,1.5,radimagenet_resnet50(keras),paper\n"
    )
    (results / "mask_agreement.csv").write_text(
        "structure,comparison,segmenter,dice,jaccard,hd95_max_mm,assd_mm\n"
        "heart,requested,totalsegmentator,0.8,0.7,4,1\nheart,ceiling,totalsegmentator,1,1,0,0\n"
    )
    assert main(["audit", "--out", str(tmp_path / "audit"), "--results", str(results)]) == 0
    assert "Synthesized_416" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "audit" / "findings.csv")
    assert set(found["verdict"]) == {"agrees", "notable", "cannot be"}
    tables = pd.read_csv(tmp_path / "audit" / "tables.csv").set_index(["table", "row", "column"])
    values = ["paper_as_printed", "this_run"]
    assert tables.loc[(1, "MedSyn2", "lung axial"), values].tolist() == [10.96, 1.5]
    assert tables.loc[(7, "Heart", "gen_gt dice"), values].tolist() == [86.4, 80.0]
    assert tables.loc[(7, "Heart", "gen_gt hd95"), "this_run"] == 4.0
    assert tables["this_run"].notna().sum() == 5


def test_without_a_run_the_column_beside_is_empty(tmp_path: Path) -> None:
    assert main(["audit", "--out", str(tmp_path)]) == 0
    tables = pd.read_csv(tmp_path / "tables.csv")
    assert tables["this_run"].isna().all()
    assert tables["paper_as_printed"].notna().all()


@pytest.mark.parametrize("number", PRINTED)
def test_the_paper_s_tables_are_drawn_from_its_numbers_alone(tmp_path: Path, number: str) -> None:
    assert main(["audit", "--out", str(tmp_path)]) == 0
    drawn = pd.read_csv(tmp_path / f"paper/table_{number}.csv", index_col="as printed")
    pd.testing.assert_frame_equal(drawn, PRINTED[number], check_names=False, check_dtype=False)
    page = (tmp_path / "paper.html").read_text()
    part = page.split(f"The paper's Table {number}<")[1].split("<details>")[0]
    table = shown(PRINTED[number].reset_index(), file="")
    for row in table.rows:
        for cell in row:
            assert f">{cell.text}</td>" in part
    assert "None is of this software" in page
