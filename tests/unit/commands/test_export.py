"""Data sets and tables of labels from the command line."""

import json

import pytest

from medsyn2.cli import main
from tests.unit.finished_run import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


def test_a_data_set_is_written_and_told_as_json(run, tmp_path, capsys):
    to = tmp_path / "Dataset501_Heart"
    assert main(["export", "nnunet", "--run", str(run), "--structures", "heart", "--to", str(to), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "schema": "medsyn2/export/1",
        "folder": str(to),
        "num_real": 4,
        "num_synthetic": 0,
        "num_groups": 3,
        "num_folds": 3,
        "labels": {"1": "heart"},
    }
    assert (to / "dataset.json").is_file()


def test_volumes_of_which_not_all_is_known_are_counted(run, tmp_path, caplog):
    made = [str(run / "sample/0000")]
    options = ["--run", str(run), "--volumes", *made, "--only", "synthetic", "--structures", "nodules"]
    assert main(["export", "monai", *options, "--to", str(tmp_path / "set")]) == 2  # of one patient
    assert "2 volumes left out" in caplog.text


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["nnunet", "--to", "Dataset001_x"], "export-options"),
        (["nnunet", "--run", "nowhere", "--to", "Dataset001_x"], "run-without-masks"),
        (["nnunet", "--run", "nowhere", "--to", "set"], "export-name"),
    ],
)
def test_mistakes_are_named(options, code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *options, "--structures", "heart"]) == 2
    assert f"[{code}]" in capsys.readouterr().err


def test_labels_have_names_and_colours(tmp_path, capsys):
    assert main(["export", "labels", "--structures", "nodules", "heart", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1\theart\n2\tnodules\n"
    assert "2 nodules " in (tmp_path / "labels.ctbl").read_text("utf-8")
    assert '"heart"' in (tmp_path / "labels.label").read_text("utf-8")
