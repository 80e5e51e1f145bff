"""Data sets and tables of labels from the command line."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from medsyn2.cli import main
from tests.unit.finished_run import box, synthetic, write_run


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


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Forty volumes of four masks."""
    folder = tmp_path_factory.mktemp("many")
    for case in "abcd":
        synthetic(case, box(case, 4), "lung nodules").save(folder / f"{case}_0.nii.gz")
        for number in range(1, 10):
            for path in folder.glob(f"{case}_0*"):
                shutil.copyfile(path, folder / path.name.replace("_0", f"_{number}", 1))
            sidecar = folder / f"{case}_{number}.json"
            sidecar.write_text(sidecar.read_text("utf-8").replace(f"{case}_0", f"{case}_{number}"), encoding="utf-8")
    return folder


def test_an_export_that_was_killed_goes_on_and_writes_no_case_twice(many, tmp_path):
    command = ["export", "nnunet", "--volumes", str(many), "--structures", "nodules", "--to"]
    whole, killed = tmp_path / "whole/Dataset501_Nodules", tmp_path / "killed/Dataset501_Nodules"
    assert main([*command, str(whole)]) == 0
    process = subprocess.Popen([sys.executable, "-m", "medsyn2", *command, str(killed)], stderr=subprocess.DEVNULL)
    while len(list(killed.glob("labelsTr/[!.]*"))) < 3 and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in killed.glob("labelsTr/[!.]*")}
    assert 3 <= len(done) < 40
    assert not (killed / "dataset.json").exists()
    assert main([*command, str(killed)]) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done
    files = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file()]
    assert [path.relative_to(killed) for path in sorted(killed.rglob("*")) if path.is_file()] == files
    assert all((killed / path).read_bytes() == (whole / path).read_bytes() for path in files)


def test_a_part_reads_no_mask_of_the_other_parts(many, tmp_path):
    shutil.copytree(many, tmp_path / "many")
    for path in sorted((tmp_path / "many").glob("*_mask.nii.gz"))[1:]:
        path.write_bytes(b"damaged")
    options = ["--volumes", str(tmp_path / "many"), "--structures", "nodules", "--to", str(tmp_path / "set")]
    assert main(["export", "monai", *options, "--shard", "1/40"]) == 0
    assert len(list((tmp_path / "set/labelsTr").iterdir())) == 1
    assert main(["export", "monai", *options]) == 15


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
