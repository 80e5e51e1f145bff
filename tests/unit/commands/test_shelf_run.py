"""Masks from a run: of its held-out cases, and of the training cases whose reports are most like another."""

import json

import pytest

from medsyn2.cli import main
from medsyn2.ct.nifti.files import read_labels
from tests.unit.reported_run import EFFUSION, write_reported_run

ASKED = "A large left pleural effusion is seen. The heart is normal."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_reported_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def shelf(run, capsys, caplog):
    """The command on the run; returns its status, what it printed, and its log with the errors."""

    def shelf(action, *options):
        caplog.clear()
        code = main(["shelf", action, "--run", str(run), *map(str, options)])
        captured = capsys.readouterr()
        return code, captured.out, caplog.text + captured.err

    return shelf


def test_training_cases_are_listed_by_the_similarity_of_their_reports(shelf):
    code, out, _ = shelf("list", "--report", ASKED)
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert {rows[0][0], rows[1][0]} == {"b_1", "c_1"}
    assert [len(row) for row in rows] == [3] * 4
    assert rows == sorted(rows, key=lambda row: -float(row[1]))
    _, out, _ = shelf("list", "--report", ASKED, "--structures", "heart", "--count", 1, "--json")
    (row,) = json.loads(out)["masks"]
    assert row["name"] == "b_1"
    assert row["structures"] == ["heart", "pleural_effusion"]
    assert -1 <= row["similarity"] <= 1


def test_masks_are_those_of_the_first_case_that_has_them(shelf, run, tmp_path):
    code, out, err = shelf("take", "--report", ASKED, "--structures", "nodules", "--output", tmp_path, "--json")
    assert code == 0
    assert json.loads(out)["case"] == "a_1"
    assert "terms of its cohort" in err
    found = read_labels(tmp_path / "nodules.nii.gz")
    assert (found.labels == read_labels(run / "masks/0000/a_1/nodules.nii.gz").labels).all()
    assert [path.name for path in tmp_path.iterdir()] == ["nodules.nii.gz"]


def test_a_patient_is_left_out_whose_report_it_is_or_who_is_named(shelf):
    _, out, err = shelf("list", "--report", f"{EFFUSION.findings} [SEP] {EFFUSION.impression}")
    assert out.startswith("c_1\t")
    assert "b_1" not in out
    assert "word for word, that of 2 patients: b, f" in err
    _, out, err = shelf("list", "--report", ASKED, "--exclude-subject", "c", "--exclude-subject", "a_2")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["b_1"]
    assert "word for word" not in err


def test_held_out_cases_are_listed_and_taken_by_their_id(shelf, tmp_path):
    _, out, _ = shelf("list")
    assert out == "f_1\theart 1 ml, pleural_effusion 1 ml\n"
    assert shelf("list", "--structures", "nodules")[1] == ""
    code, _, err = shelf("take", "--case", "f_1", "--structures", "heart", "--output", tmp_path)
    assert code == 0
    assert "terms of its cohort" in err
    assert (tmp_path / "heart.nii.gz").is_file()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--report", ASKED, "--exclude-subject", "nobody"], "subject-unknown"),
        (["--report", ASKED, "--structures", "heart", "airways"], "no-case-with-masks"),
        (["--report", ASKED, *(f"--exclude-subject={patient}" for patient in "abc")], "no-case-with-masks"),
        (["--report", "Not given."], "report-empty"),
        (["--report", "结节 肺"], "report-unknown-words"),
        (["--case", "a_1"], "case-unknown"),
        (["--report", ASKED, "--case", "f_1"], "shelf-options"),
        (["--case", "f_1", "--exclude-subject", "a"], "shelf-options"),
        (["--report", ASKED, "--phantom", "3"], "shelf-options"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(shelf, tmp_path, options, code):
    exit_code, _, err = shelf("take", *options, "--output", tmp_path / "masks")
    assert exit_code in {1, 2}
    assert f"[{code}]" in err
    assert not (tmp_path / "masks").exists()
