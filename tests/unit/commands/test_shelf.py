"""Masks from the shelf on a model's grid, changed on the way, and nodules drawn into a CT."""

import numpy as np
import pytest

from medsyn2.cli import main
from medsyn2.ct.morphology import components
from medsyn2.ct.nifti.files import read_labels, write_ct
from medsyn2.evaluation.control.effects import laterality
from tests.unit.chests import scan_phantom, write_chest_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    ct = scan_phantom(3)
    write_ct(folder / "ct.nii.gz", ct)
    write_chest_model(folder / "model", ct)
    return folder


@pytest.fixture
def take(folder):
    return lambda output, *options: main(["shelf", "take", "--output", str(folder / output), *map(str, options)])


def test_the_shelf_is_listed_with_its_findings(capsys):
    assert main(["shelf", "list", "--count", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["0", "1", "2"]
    assert all(len(line) > 50 for line in lines)


def test_masks_fit_the_side_of_the_report_and_are_changed_on_the_way(take, folder):
    asked = [
        "--model",
        folder / "model",
        "--report",
        "Large left pleural effusion.",
        "--structures",
        "pleural_effusion",
    ]
    assert take("left", *asked) == 0
    left = read_labels(folder / "left/pleural_effusion.nii.gz")
    assert left.shape == (32, 48, 48)
    assert laterality(left.binary()) > 0.9
    assert take("right", *asked, "--mirror", "--grow-mm", 15) == 0
    right = read_labels(folder / "right/pleural_effusion.nii.gz")
    assert laterality(right.binary()) < -0.9
    assert right.binary().sum() > 1.2 * left.binary().sum()
    assert take("left", *asked) == 2  # what is there stays
    assert take("none", *asked, "--side", "right", "--shrink-mm", 30) == 1


def test_nodules_are_drawn_into_a_lobe_of_a_ct(take, folder):
    assert take("drawn", "--ct", folder / "ct.nii.gz", "--nodules-mm", 20, 16, "--lobe", "right_lower") == 0
    drawn = read_labels(folder / "drawn/nodules.nii.gz")
    assert laterality(drawn.binary()) == -1
    _, sizes = components(drawn.binary())
    expected = [np.pi / 6 * d**3 for d in (16, 20)]
    assert sorted(sizes * np.prod(drawn.spacing_mm)) == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--ct", "a.nii.gz"], "shelf-options"),
        (["--ct", "a.nii.gz", "--nodules-mm", "8", "--model", "m"], "shelf-options"),
        (["--run", "nowhere", "--case", "a"], "run-without-masks"),
        (["--model", "MODEL", "--report", "Normal."], "report-without-lesion"),
    ],
)
def test_mixtures_that_say_nothing_are_refused(take, folder, capsys, options, code):
    assert take("wrong", *(folder / "model" if one == "MODEL" else one for one in options)) in {1, 2}
    assert f"[{code}]" in capsys.readouterr().err
