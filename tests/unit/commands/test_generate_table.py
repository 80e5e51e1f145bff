"""Tables of requests from the command line: many seeds, parts, stops, failures."""

import csv
import json
import logging

import numpy as np
import pytest

from medsyn2.cli import main
from medsyn2.ct.nifti.files import read_ct, write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.pipeline import MedSyn2Pipeline

FAST = ["--solver", "euler", "--steps", "1"]
TABLE = (
    "name,report,mask,words,seed\n"
    "a,A nodule.,,,\n"
    "b,,mask.nii.gz,heart,7\n"
    "c,,missing.nii.gz,heart,\n"
    "d,,../mask.nii.gz,heart,\n"
    "e,,mask.nii.gz,,\n"
)


@pytest.fixture
def folder(tiny_model, tiny_mask, tmp_path):
    mask = LabelMap(tiny_mask, MedSyn2Pipeline.from_pretrained(tiny_model).grid.affine_mm)
    write_labels(tmp_path / "mask.nii.gz", mask)
    (tmp_path / "requests.csv").write_text(TABLE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def generate(tiny_model, folder):
    def generate(*options, output="out"):
        arguments = ["--model", tiny_model, "--table", folder / "requests.csv", "--output", folder / output, *FAST]
        return main(["generate", *map(str, (*arguments, *options))])

    return generate


def volumes(folder):
    return {path.name.removesuffix(".nii.gz"): path for path in folder.glob("[a-e]*.nii.gz") if "mask" not in path.name}


def failed(path):
    with path.open(encoding="utf-8") as file:
        return {row["name"]: row["code"] for row in csv.DictReader(file)}


def test_what_can_be_made_is_made_and_the_rest_is_listed(generate, folder, capsys):
    assert generate() == 1
    assert set(volumes(folder / "out")) == {"a", "b"}
    codes = failed(folder / "out/failed.csv")
    assert codes == {"c": "file-missing", "d": "path-outside-folder", "e": "mask-without-words"} or set(codes) == set(
        "cde"
    )
    assert codes["d"] == "path-outside-folder"
    assert "3 of 5 volumes could not be made" in capsys.readouterr().err
    assert json.loads((folder / "out/b.json").read_text("utf-8"))["seed"] == 7


def test_n_seeds_give_n_different_volumes_and_parts_give_the_whole(generate, folder):
    (folder / "requests.csv").write_text("name,report\na,A nodule.\nb,\n", encoding="utf-8")
    assert generate("--seeds", 3) == 0
    hu = [read_ct(path).hu for path in volumes(folder / "out").values()]
    assert len(hu) == 6
    assert not any(np.array_equal(one, other) for index, one in enumerate(hu) for other in hu[index + 1 :])
    for part in ("1/2", "2/2"):
        assert generate("--seeds", 3, "--shard", part, output="parts") == 0
    for name, path in volumes(folder / "out").items():
        assert path.read_bytes() == (folder / f"parts/{name}.nii.gz").read_bytes()
    assert not list((folder / "parts").glob("failed*"))


def test_a_run_is_gone_on_with_and_what_is_there_is_kept_if_it_is_the_request_s(generate, folder, caplog):
    (folder / "requests.csv").write_text(
        "name,report,mask,words\na,A nodule.,,\nb,,mask.nii.gz,heart\n", encoding="utf-8"
    )
    out = folder / "out"
    assert generate() == 0
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    (out / "a.json").unlink()  # as if it had been killed between the two files
    (folder / "requests.csv").write_text(
        "name,report,mask,words\na,A nodule.,,\nb,,mask.nii.gz,heart\nc,,,\n", encoding="utf-8"
    )
    with caplog.at_level(logging.INFO):
        assert generate() == 0
    assert "2 made, 1 kept, 0 failed" in caplog.text
    assert "left" in caplog.text
    assert {name: (out / name).read_bytes() for name in before} == {name: one for name, (one, _) in before.items()}
    assert (out / "b.nii.gz").stat().st_mtime_ns == before["b.nii.gz"][1]


@pytest.mark.parametrize("damage", ["voxels", "mask", "request", "stranger"])
def test_files_that_are_not_the_request_s_are_left_alone_and_the_rest_is_made(generate, folder, damage):
    (folder / "requests.csv").write_text("name,mask,words\nb,mask.nii.gz,heart\n", encoding="utf-8")
    out = folder / "out"
    assert generate() == 0
    target = {"voxels": "b.nii.gz", "mask": "b_mask.nii.gz"}.get(damage, "b.json")
    if damage == "request":
        (folder / "requests.csv").write_text("name,mask,words\nb,mask.nii.gz,lobes\nc,,\n", encoding="utf-8")
    else:
        (folder / "requests.csv").write_text("name,mask,words\nb,mask.nii.gz,heart\nc,,\n", encoding="utf-8")
        (out / target).write_bytes(b"mine" if damage == "stranger" else (out / target).read_bytes() + b"x")
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    assert generate() == 1
    assert {name: (out / name).read_bytes() for name in content} == content
    assert (out / "c.nii.gz").is_file()
    assert failed(out / "failed.csv")["b"] in {"output-taken", "output-of-another-request"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report", "x"], "--report would have no effect"),
        (["--shard", "3/2"], "shard-invalid"),
        (["--seeds", 0], "table-options"),
    ],
)
def test_options_that_make_no_table_are_refused(generate, capsys, options, message):
    assert generate(*options) == 2
    assert message in capsys.readouterr().err


def test_options_of_a_table_are_refused_without_one(tiny_model, tmp_path, capsys):
    given = ["--model", str(tiny_model), "--output", str(tmp_path / "a.nii.gz"), "--seeds", "2"]
    assert main(["generate", *given]) == 2
    assert "--seeds would have no effect" in capsys.readouterr().err
