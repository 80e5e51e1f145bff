"""What a configuration uses is cited, with its licence, and nothing else."""

import json

import pytest

from medsyn2.cli import main


def test_the_papers_run_names_its_data_tools_and_weights(capsys):
    assert main(["cite", "--config", "configs/paper.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "medsyn2/cite/1"
    keys = {one["key"] for one in told["citations"]}
    assert {"medsyn2", "ct-rate", "lungmask", "totalsegmentator", "nnunet", "medpseg", "lpips", "radimagenet"} <= keys
    bound = {row["work"].rpartition("(")[2]: row for row in told["licences"]}
    assert "non-commercial" in bound["ct-rate)"]["binds"]
    assert {"lungmask)", "totalsegmentator/Dataset913)", "medpseg)"} <= set(bound)


def test_the_embedded_cohort_has_no_terms(capsys):
    assert main(["cite", "--config", "config.yaml"]) == 0
    text = capsys.readouterr().out
    assert "2606.00967" in text
    assert not any(word in text for word in ("CT-RATE", "cohort.data_dir", "lungmask", "RadImageNet"))


@pytest.mark.parametrize(
    ("cohort", "key"),
    [
        ({"data_dir": "mine"}, "own-data"),
        ({"data_dir": "mine", "reports_csv": "tables/train_reports.csv"}, "ct-rate"),
        ({"data_dir": "/data/CT-RATE/dataset"}, "ct-rate"),
    ],
)
def test_data_are_the_users_own_unless_they_are_ct_rate(cohort, key, tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text(json.dumps({"cohort": cohort}), encoding="utf-8")
    assert main(["cite", "--config", str(tmp_path / "mine.yaml"), "--json"]) == 0
    keys = {one["key"] for one in json.loads(capsys.readouterr().out)["citations"]}
    assert key in keys
    assert len(keys & {"own-data", "ct-rate"}) == 1
