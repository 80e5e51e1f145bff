import json

import numpy as np
import pytest

from medsyn2.cli import main
from medsyn2.ct.nifti.files import read_ct, read_labels, write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline

FAST = ["--solver", "euler", "--steps", "2"]


@pytest.fixture
def generate(tiny_model, tmp_path):
    def generate(*options, output="out.nii.gz"):
        arguments = ["generate", "--model", str(tiny_model), "--output", str(tmp_path / output)]
        return main([*arguments, *map(str, options)])

    return generate


def test_report_and_mask_reach_the_pipeline(generate, tiny_model, tiny_mask, tmp_path):
    pipeline = MedSyn2Pipeline.from_pretrained(tiny_model)
    mask = LabelMap(tiny_mask, pipeline.grid.affine_mm)
    write_labels(tmp_path / "mask.nii.gz", mask)
    (tmp_path / "report.txt").write_text("\ufeffLarge pleural effusion.\n", encoding="utf-8")
    options = ["--mask", tmp_path / "mask.nii.gz", "--mask-text", "heart", "--seed", 5, "--guidance-mask", 2]
    assert generate("--report-file", tmp_path / "report.txt", *options, *FAST) == 0
    expected = pipeline(
        "Large pleural effusion.",
        mask=mask,
        mask_text="heart",
        seed=5,
        sampling=Sampling("euler", 2, guidance_mask=2.0),
    )
    np.testing.assert_array_equal(read_ct(tmp_path / "out.nii.gz").hu, expected.volume.hu)


def test_the_precision_is_asked_for_and_kept(generate, tmp_path):
    assert generate("--precision", "bf16", *FAST) == 0
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["precision"] == "bf16"


def test_a_sidecar_makes_the_same_file_again(generate, tmp_path):
    assert generate("--report", "A nodule.", *FAST) == 0
    assert generate("--from-sidecar", tmp_path / "out.json", output="again.nii.gz") == 0
    assert (tmp_path / "out.nii.gz").read_bytes() == (tmp_path / "again.nii.gz").read_bytes()


def test_an_edit_keeps_the_seed_and_names_its_strength(generate, tmp_path):
    assert generate("--seed", 9, *FAST) == 0
    edit = ["--edit", tmp_path / "out.json", "--strength", 0.5, "--report", "A nodule."]
    assert generate(*edit, *FAST, output="edited.nii.gz") == 0
    sidecar = json.loads((tmp_path / "edited.json").read_text("utf-8"))
    assert (sidecar["seed"], sidecar["strength"], sidecar["before"]["report"]) == (9, 0.5, None)
    assert generate("--from-sidecar", tmp_path / "edited.json", output="again.nii.gz") == 0
    assert (tmp_path / "edited.nii.gz").read_bytes() == (tmp_path / "again.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--strength", "0.5"], 2, "--strength would have no effect"),
        (["--from-sidecar", "a.json", "--seed", "1"], 2, "--seed would have no effect"),
        (["--from-sidecar", "a.json", "--precision", "bf16"], 2, "--precision would have no effect"),
        (["--report-file", "missing.txt"], 1, "missing.txt"),
        (["--mask", "missing.nii.gz", "--mask-text", "heart"], 1, "missing.nii.gz"),
        (["--mask-text", "heart"], 1, "words-without-mask"),
        (["--seed", "-1"], 2, "seed-invalid"),
        (["--device", "cuda:99"], 2, "device-missing"),
        (["--device", "gpu"], 2, "device-unknown"),
        (["--guidance-report", "3"], 2, "--guidance-report would have no effect"),
        (["--report", "x", "--guidance-mask", "4"], 2, "--guidance-mask would have no effect"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(generate, capsys, options, status, message):
    assert generate(*options, *(FAST if "--from-sidecar" not in options else [])) == status
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
    assert "What to do" in error


def test_what_is_there_already_is_not_replaced_unless_it_is_ones_own(generate, tiny_model, tiny_mask, tmp_path):
    mask = LabelMap(tiny_mask, MedSyn2Pipeline.from_pretrained(tiny_model).grid.affine_mm)
    write_labels(tmp_path / "out_mask.nii.gz", mask)
    (tmp_path / "notes.json").write_text("mine", encoding="utf-8")
    before = (tmp_path / "out_mask.nii.gz").read_bytes()
    given = ["--mask", tmp_path / "out_mask.nii.gz", "--mask-text", "heart", *FAST]
    assert generate(*given) == 2
    assert generate(*given, output="out_mask.nii.gz") == 2
    assert generate(*FAST) == 2
    assert generate(*FAST, output="notes.nii.gz") == 2
    assert (tmp_path / "out_mask.nii.gz").read_bytes() == before
    assert (tmp_path / "notes.json").read_text("utf-8") == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.json", "out_mask.nii.gz"]
    assert generate(*given, output="again.nii.gz") == generate(*FAST, output="again.nii.gz") == 0
    assert not (tmp_path / "again_mask.nii.gz").exists()


@pytest.mark.parametrize("output", ["file/out.nii.gz", "folder.nii.gz", "out.png"])
def test_a_place_that_nothing_can_be_written_to_is_refused_before_the_model_is_loaded(capsys, tmp_path, output):
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    (tmp_path / "folder.nii.gz").mkdir()
    given = ["--model", str(tmp_path / "nowhere"), "--output", str(tmp_path / output)]
    assert main(["generate", *given]) in {2, 10}
    assert "[output-" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--from-sidecar", "--edit"])
def test_a_volume_in_place_of_its_sidecar_is_named_and_not_shown(generate, tmp_path, capsys, option):
    assert generate(*FAST) == 0
    capsys.readouterr()
    assert generate(option, tmp_path / "out.nii.gz", output="again.nii.gz") == 15
    error = capsys.readouterr().err
    assert "[sidecar-unreadable]" in error
    assert len(error) < 1000


def test_a_mistake_in_an_edit_is_found_before_what_is_edited_is_made_again(generate, tmp_path, monkeypatch):
    assert generate(*FAST) == 0
    made = []
    monkeypatch.setattr("medsyn2.pipeline.generation.trajectory", lambda *_, **__: made.append("before"))
    edit = ["--edit", tmp_path / "out.json"]
    for mistake in (["--strength", 3], ["--mask-text", "heart"], ["--report", "胸水"], ["--steps", 0]):
        assert generate(*edit, *mistake, output="edited.nii.gz") != 0
    assert made == []


def test_a_check_is_written_on_request_and_replaces_only_an_earlier_one(generate, tiny_model, tiny_mask, tmp_path):
    write_labels(tmp_path / "m.nii.gz", LabelMap(tiny_mask, MedSyn2Pipeline.from_pretrained(tiny_model).grid.affine_mm))
    given = ["--mask", tmp_path / "m.nii.gz", "--mask-text", "heart", "--check", *FAST]
    (tmp_path / "out_check.json").write_text("mine", encoding="utf-8")
    assert generate(*given) == 2
    assert (tmp_path / "out_check.json").read_text("utf-8") == "mine"
    (tmp_path / "out_check.json").unlink()
    assert generate(*given) == generate(*given) == 0
    record = json.loads((tmp_path / "out_check.json").read_text("utf-8"))
    assert (record["words"], record["dice"]) == ("heart", None)
    assert record["problem"]  # the tiny model makes no chest
    assert (tmp_path / "out_check.png").read_bytes().startswith(b"\x89PNG")


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    assert "--mask-text" in capsys.readouterr().out


def test_a_volume_and_its_mask_lie_on_the_grid_of_a_file_and_are_made_again(
    generate, tiny_model, tiny_mask, tmp_path, capsys, caplog
):
    grid = MedSyn2Pipeline.from_pretrained(tiny_model).grid
    write_labels(tmp_path / "mask.nii.gz", LabelMap(tiny_mask, grid.affine_mm))
    like = LabelMap(np.ones((20, 40, 40), np.uint8), grid.affine_mm * (0.5, 0.5, 1, 1))
    write_labels(tmp_path / "like.nii.gz", like)
    asked = ["--mask", tmp_path / "mask.nii.gz", "--mask-text", "heart", *FAST]
    assert generate(*asked, "--like", tmp_path / "like.nii.gz", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert "beyond the model's grid" in caplog.text
    volume, mask = read_ct(tmp_path / "out.nii.gz"), read_labels(told["mask"])
    assert volume.grid == mask.grid
    np.testing.assert_allclose(volume.affine_mm, like.affine_mm, atol=1e-5)
    sidecar = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert 0 < sidecar["output"]["padded_percent"] < 50
    assert read_labels(tmp_path / "out_mask_model.nii.gz").shape == grid.shape
    assert generate("--from-sidecar", tmp_path / "out.json", output="again.nii.gz") == 0
    for name in ("nii.gz", "json"):
        same = (tmp_path / f"again.{name}").read_bytes() == (tmp_path / f"out.{name}").read_bytes()
        assert same == (name != "json")  # which names its files
    assert generate(*asked, "--spacing-mm", 2) == 0  # in place of the earlier one, and its masks
    assert read_ct(tmp_path / "out.nii.gz").spacing_mm == pytest.approx((2, 2, 2))
    assert generate(*asked) == 0
    assert not (tmp_path / "out_mask_model.nii.gz").exists()
