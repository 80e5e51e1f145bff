"""The commands and snippets of the how-tos that need no finished run work, in their order, in one folder."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from medsyn2.cli import command_parser, main
from medsyn2.ct.mask_edits import ellipsoid_mask
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import LabelMap
from tests.series import write_series
from tests.unit.chests import scan_phantom, write_chest_model

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^ *```(python)?\n(.*?)^ *```", re.M | re.S)
FAST = ["--solver", "euler", "--steps", "1"]
"""The tiny networks are random, and no better after more steps."""
ELSEWHERE = ("doctor", "plan")
"""Run by tests of their own, which share what takes long."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A phantom's CT as NIfTI and as DICOM under a patient's name, a model, a mask and a table of requests."""
    home = tmp_path_factory.mktemp("home")
    ct = scan_phantom(3, 6.0)
    write_chest_model(home / "results/train_dit/model", ct)
    write_series(home / "export/scan", ct.hu, ct.affine_mm, patient="DOE")
    write_series(home / "export/cut", ct.hu, ct.affine_mm, patient="ROE", study="1.9", series="1.9.1", only=[0, 1, 9])
    write_ct(home / "ct.nii.gz", ct)
    middle = ct.affine_mm[:3, :3] @ (np.array(ct.shape) * (0.5, 0.5, 0.3)) + ct.affine_mm[:3, 3]
    nodule = LabelMap(ellipsoid_mask(ct.grid, middle.tolist(), (24.0, 24.0, 24.0)), ct.affine_mm)
    write_labels(home / "nodule.nii.gz", nodule)
    (home / "requests.csv").write_text("name,report\na,No effusion.\n", encoding="utf-8")
    (home / "config.yaml").symlink_to(ROOT / "tests/workflow/tiny.yaml")
    return home


@pytest.fixture(autouse=True)
def inside(home, tmp_path, monkeypatch):
    """Work in a folder that has these files, and no output of another test."""
    for path in home.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)


def blocks(page):
    """Yield each command of a page, and each snippet of Python."""
    for language, text in BLOCK.findall((ROOT / page).read_text("utf-8")):
        lines = text.splitlines()
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        lines = [line[indent:] for line in lines]
        if language:
            yield "python", "\n".join(lines)
        else:
            yield from (("command", line) for line in lines if line.startswith("medsyn2 "))


def run(command):
    verb, *options = (one for one in shlex.split(command)[1:] if one != "--check")  # tests of its own take seconds
    fast = FAST if verb in ("generate", "edit") and "--from-sidecar" not in options else []
    assert main([verb, *options, *fast]) == 0, command


def section(page, title):
    return (ROOT / page).read_text("utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_each_of_the_ten_calls_answers_with_one_object(capsys):
    calls = [line for line in section("AGENTS.md", "Ten calls").splitlines() if line.startswith("medsyn2 ")]
    assert len(calls) == 10
    documented = dict(re.findall(r"^\| `([\w-]+/1)` \| [^|]* \| (.*) \|$", _json_page(), re.M))
    for call in calls:
        verb = shlex.split(call)[1]
        if verb in ELSEWHERE:
            command_parser(verb).parse_args(shlex.split(call)[2:])
            continue
        run(call)
        found = json.loads(capsys.readouterr().out)
        schema = found.pop("schema")
        assert all(f"`{key}`" in documented[schema.removeprefix("medsyn2/")] for key in found), (call, found)


def _json_page():
    return (ROOT / "docs/reference/json.md").read_text("utf-8")


def test_a_series_is_edited_and_opened_by_other_libraries(tmp_path):
    steps = list(blocks("docs/how-to/edit-a-dicom-series.md"))
    assert len(steps) == 7
    for kind, text in steps:
        if kind == "command":
            run(text)
        else:
            exec(compile(text, "edit-a-dicom-series.md", "exec"), {})
    assert len(list((tmp_path / "volumes").glob("*.nii.gz"))) == 1
    assert "dicom-" in (tmp_path / "volumes/volumes.csv").read_text("utf-8")
    assert b"DOE" not in b"".join(path.read_bytes() for path in (tmp_path / "edited/scan").iterdir())
    for path in (tmp_path / "edited/scan").iterdir():
        assert path.read_bytes() == (tmp_path / "edited/again" / path.name).read_bytes()


def test_the_page_about_dicom_does_what_it_says(tmp_path):
    for kind, text in blocks("docs/how-to/dicom.md"):
        assert kind == "command"
        run(text)
    assert (tmp_path / "made/SEG.dcm").is_file()
