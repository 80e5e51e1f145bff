"""The commands and snippets of the pages for beginners run as written, against a finished run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import pytest

from tests.workflow.conftest import ROOT, Workflow

PAGES = ("README.md", "docs/how-to/look-at-a-volume.md")
LATER = ("docs/how-to/find-a-mask.md", "docs/how-to/edit-a-ct.md", "docs/how-to/make-many-volumes.md")
"""Pages whose commands have quick tests of their own (tests/unit/commands), and take two minutes of CPU as written."""
VERBS = ("generate", "edit", "shelf", "evaluate")
"""Commands that run here; test_commands.py plans the workflow's, and the tests of the command line parse all."""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def steps(page: str) -> list[list[str]]:
    """The commands and snippets of a page, in order, as argument lists of this interpreter."""
    found = []
    for language, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if language == "python":
            found.append(["-c", text])
            continue
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["medsyn2"] and words[1] in VERBS:
                found.append(["-m", *words])
    return found


def run_page(page: str, folder: Path) -> None:
    """Run every step of a page in a folder."""
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)}
    found = steps(page)
    assert found
    for step in found:
        command = [sys.executable, *step]
        result = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        assert result.returncode == 0, f"{step}\n{result.stdout[-1000:]}{result.stderr[-3000:]}"


@pytest.fixture(scope="module")
def folder(finished: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after the tutorial, beside the files that the pages call the reader's own.

    The other generator's folder holds real volumes: the smallest model's volumes do not look like HU, and are refused.
    """
    folder = tmp_path_factory.mktemp("reader")
    results = finished.folder / "results"
    (folder / "results").symlink_to(results)
    shutil.copy(results / "masks/0000/phantom_00002/heart.nii.gz", folder)
    phantom = results / "phantoms/0000/phantom_00002"
    for source, name in (("phantom_00002", "ct"), ("truth/heart", "effusion"), ("truth/airways", "other")):
        shutil.copy(phantom / f"{source}.nii.gz", folder / f"{name}.nii.gz")
    requests = "name,report,mask,words,seed\nlarge,Large left pleural effusion.,,,\nheart,,heart.nii.gz,heart,7\n"
    (folder / "requests.csv").write_text(requests, encoding="utf-8")
    for name in ("real", "theirs"):
        (folder / name).mkdir()
        for path in results.glob("register/0000/*/ct.nii.gz"):
            shutil.copy(path, folder / name / f"{path.parent.name}.nii.gz")
    run_page("docs/tutorial.md", folder)
    return folder


def test_the_tutorial_makes_a_volume_and_makes_it_again(folder: Path) -> None:
    mine, again = (nib.load(folder / f"{name}.nii.gz") for name in ("mine", "again"))
    assert (mine.get_fdata() == again.get_fdata()).all()
    assert mine.header["descrip"].item().startswith(b"SYNTHETIC")
    assert (folder / "mine_mask.nii.gz").is_file()
    assert (folder / "mine.json").is_file()


@pytest.mark.parametrize("page", [*PAGES, *(pytest.param(page, marks=pytest.mark.slow) for page in LATER)])
def test_a_page_runs_as_written(page: str, folder: Path) -> None:
    run_page(page, folder)


def test_the_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    pages = [ROOT / "AGENTS.md", ROOT / "CONTRIBUTING.md", *map(ROOT.joinpath, ("docs/tutorial.md", *PAGES, *LATER))]
    named = {name for page in pages for name in re.findall(r"^make ([a-z-]+)", page.read_text(encoding="utf-8"), re.M)}
    assert named >= {"demo", "test"}
    assert named <= targets
