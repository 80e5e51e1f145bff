"""A phantom's CT edited from the command line."""

import logging

import nibabel as nib
import numpy as np
import pytest

from medsyn2.cli import main
from medsyn2.ct.mask_edits import ellipsoid_mask
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import LabelMap
from tests.unit.chests import scan_phantom, write_chest_model

FAST = ["--solver", "euler", "--steps", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a CT under a patient's name, and a mask on it, of a nodule in the right lung."""
    folder = tmp_path_factory.mktemp("edit")
    ct = scan_phantom(3)
    write_chest_model(folder / "model", ct)
    write_ct(folder / "DOE_JOHN.nii.gz", ct, description="DOE^JOHN")
    middle = ct.affine_mm[:3, :3] @ (np.array(ct.shape) * (0.5, 0.5, 0.3)) + ct.affine_mm[:3, 3]
    nodule = ellipsoid_mask(ct.grid, middle.tolist(), (24.0, 24.0, 24.0))
    write_labels(folder / "nodule.nii.gz", LabelMap(nodule, ct.affine_mm))
    return folder


@pytest.fixture
def edit(folder):
    def edit(*options, output="out/edited.nii.gz", ct="DOE_JOHN.nii.gz"):
        arguments = ["edit", "--model", folder / "model", "--ct", folder / ct, "--output", folder / output]
        return main([str(one) for one in (*arguments, *options)])

    return edit


def conditions(folder):
    return ["--mask", folder / "nodule.nii.gz", "--mask-text", "lung nodules", "--margin-mm", "15"]


def test_only_the_region_differs_and_the_ct_is_registered_once(edit, folder, caplog):
    with caplog.at_level(logging.INFO):
        assert edit(*conditions(folder), *FAST) == 0
    assert "kept as" in caplog.text
    before, after, region, mask = (
        np.asarray(nib.load(folder / name).dataobj)
        for name in ("DOE_JOHN.nii.gz", "out/edited.nii.gz", "out/edited_region.nii.gz", "out/edited_mask.nii.gz")
    )
    assert after.dtype == before.dtype
    assert (after[region == 0] == before[region == 0]).all()
    assert (after[mask == 1] != before[mask == 1]).mean() > 0.9
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert edit("--from-sidecar", folder / "out/edited.json", output="out/again.nii.gz") == 0
        assert edit(*conditions(folder), *FAST, "--seed", 1, output="out/other.nii.gz") == 0
    assert caplog.text.count("earlier edit, which is used") == 1
    assert "kept as" not in caplog.text
    for name in (".nii.gz", "_mask.nii.gz", "_region.nii.gz"):
        assert (folder / f"out/edited{name}").read_bytes() == (folder / f"out/again{name}").read_bytes()
    assert (folder / "out/edited.nii.gz").read_bytes() != (folder / "out/other.nii.gz").read_bytes()
    kept = [path for path in (folder / "out").iterdir() if "DOE" in path.name or b"DOE" in path.read_bytes()]
    assert kept == []


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ([], 1, "region-empty"),
        (["--margin-mm", "5"], 1, "region-empty"),
        (["--from-sidecar", "a.json", "--blend-mm", "3"], 2, "--blend-mm would have no effect"),
        (["--guidance-mask", "3"], 2, "--guidance-mask would have no effect"),
        (["--strength", "2"], 2, "edit-strength"),
        (["--region", "missing.nii.gz"], 1, "missing.nii.gz"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(edit, folder, capsys, options, status, message):
    given = (
        []
        if not options or options[0] in ("--margin-mm", "--from-sidecar", "--guidance-mask")
        else conditions(folder)[:4]
    )
    assert edit(*given, *options, output="wrong/out.nii.gz") == status
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert "What to do" in error
    assert not list((folder / "wrong").glob("*"))


def test_the_ct_is_not_written_over_and_what_is_there_stays(edit, folder, capsys):
    assert edit(*conditions(folder), output="DOE_JOHN.nii.gz") == 2
    assert "[output-is-input]" in capsys.readouterr().err
    (folder / "taken_region.nii.gz").write_text("mine", encoding="utf-8")
    assert edit(*conditions(folder), output="taken.nii.gz") == 2
    assert (folder / "taken_region.nii.gz").read_text("utf-8") == "mine"
