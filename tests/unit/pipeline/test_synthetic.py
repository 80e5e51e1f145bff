import json

import nibabel
import numpy as np
import pytest

from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import LabelMap
from medsyn2.errors import ConfigError, IntegrityError, WeightsError
from medsyn2.files import sha256_of
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.synthetic import read_sidecar

FAST = {"sampling": Sampling("heun", 2, guidance_mask=1.5)}
SHORT = Sampling("euler", 1)


@pytest.fixture(scope="module")
def pipeline(tiny_model):
    return MedSyn2Pipeline.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def made(pipeline, tiny_mask):
    mask = LabelMap(tiny_mask, pipeline.grid.affine_mm)
    return pipeline("Large pleural effusion.", mask=mask, mask_text="heart", seed=7, **FAST)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_file_opens_in_other_software_with_its_geometry_and_says_what_it_is(made, tmp_path):
    made.save(tmp_path / "out.nii.gz")
    image = nibabel.load(tmp_path / "out.nii.gz")
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.header.get_zooms(), (3, 3, 4), rtol=1e-6)
    assert image.header["descrip"].item().decode() == "SYNTHETIC medsyn2 0.1.0 seed=7"
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).transpose(), made.volume.hu)
    lps_to_ras = np.diag([-1, -1, 1, 1])
    expected = lps_to_ras @ made.volume.affine_mm[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(image.affine, expected, atol=1e-4)


def test_the_sidecar_says_all_that_is_needed_and_nothing_of_when_and_where(made, tmp_path):
    made.save(tmp_path / "out.nii.gz")
    sidecar = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert sidecar["synthetic"] is True
    assert "not for clinical use" in sidecar["notice"]
    assert sidecar["report"] == "Large pleural effusion."
    assert sidecar["mask_text"] == "heart"
    assert sidecar["mask"] == {"file": "out_mask.nii.gz", "sha256": sha256_of(tmp_path / "out_mask.nii.gz")}
    assert sidecar["volume"] == {"file": "out.nii.gz", "sha256": sha256_of(tmp_path / "out.nii.gz")}
    assert sidecar["seed"] == 7
    assert Sampling(**sidecar["sampling"]) == FAST["sampling"]
    assert (sidecar["mode"], sidecar["precision"]) == ("both", "float32")
    assert str(tmp_path) not in (tmp_path / "out.json").read_text("utf-8")


def test_saving_twice_gives_the_same_bytes(made, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.save(tmp_path / name / "out.nii.gz")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_sidecar_makes_the_same_bytes_again(made, tiny_model, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    made.save(tmp_path / "one" / "out.nii.gz")
    again = MedSyn2Pipeline.from_pretrained(tiny_model).remake(tmp_path / "one" / "out.json")
    again.save(tmp_path / "two" / "out.nii.gz")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_volume_is_made_again_in_its_own_precision(pipeline, tiny_model, tmp_path):
    half = MedSyn2Pipeline.from_pretrained(tiny_model, precision="bf16")
    made, full = (one("Large pleural effusion.", seed=7, **FAST) for one in (half, pipeline))
    made.save(tmp_path / "out.nii.gz")
    again = pipeline.remake(tmp_path / "out.json")
    assert again.recipe.precision == "bf16"
    np.testing.assert_array_equal(again.volume.hu, made.volume.hu)
    apart = (made.latents - full.latents).std() / full.latents.std()
    assert 0 < apart < 0.05


def test_a_sidecar_from_before_precisions_is_of_float32(made, tmp_path):
    made.save(tmp_path / "out.nii.gz")
    path = tmp_path / "out.json"
    values = json.loads(path.read_text("utf-8"))
    path.write_text(
        json.dumps({name: value for name, value in values.items() if name != "precision"}), encoding="utf-8"
    )
    assert read_sidecar(path)[0].precision == "float32"
    path.write_text(json.dumps({**values, "precision": "float8"}), encoding="utf-8")
    with pytest.raises(IntegrityError, match="float8"):
        read_sidecar(path)


def test_a_chain_of_edits_is_made_again_too(pipeline, made, tiny_mask, tmp_path):
    other = LabelMap(np.roll(tiny_mask, 5, axis=1), pipeline.grid.affine_mm)
    second = pipeline.edit(made, mask=other, mask_text="kidney stones", strength=0.6, **FAST)
    third = pipeline.edit(second, "A nodule.", strength=0.5, **FAST)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    third.save(tmp_path / "one" / "out.nii.gz")
    assert {"out_mask_before_1.nii.gz", "out_mask_before_2.nii.gz"} < set(contents(tmp_path / "one"))
    pipeline.remake(tmp_path / "one" / "out.json").save(tmp_path / "two" / "out.nii.gz")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_changed_mask_a_broken_sidecar_and_another_model_are_refused(made, pipeline, other_tiny_model, tmp_path):
    made.save(tmp_path / "out.nii")
    with pytest.raises(WeightsError):
        MedSyn2Pipeline.from_pretrained(other_tiny_model).remake(tmp_path / "out.json")
    (tmp_path / "out_mask.nii.gz").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="out_mask"):
        pipeline.remake(tmp_path / "out.json")
    (tmp_path / "out.json").write_text("{}", encoding="utf-8")
    with pytest.raises(IntegrityError, match="sidecar"):
        pipeline.remake(tmp_path / "out.json")


def test_a_volume_without_a_mask_leaves_none_of_an_earlier_one_beside_it(pipeline, made, tmp_path):
    for name in ("out", "output", "other"):
        made.save(tmp_path / f"{name}.nii.gz")
    pipeline(seed=1, sampling=SHORT).save(tmp_path / "out.nii.gz")
    assert not (tmp_path / "out_mask.nii.gz").exists()
    assert {"output_mask.nii.gz", "other_mask.nii.gz"} < set(contents(tmp_path))


def test_other_file_names_are_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="nii"):
        made.save(tmp_path / "out.png")


def test_a_file_without_mask_reads_back_as_written(pipeline, tmp_path):
    made = pipeline(seed=1, sampling=SHORT)
    made.save(tmp_path / "plain.nii.gz")
    assert sorted(contents(tmp_path)) == ["plain.json", "plain.nii.gz"]
    volume = read_ct(tmp_path / "plain.nii.gz")
    np.testing.assert_array_equal(volume.hu, made.volume.hu)
    np.testing.assert_allclose(volume.affine_mm, made.volume.affine_mm, atol=1e-4)


def test_it_shows_itself_in_a_notebook_with_its_mask(made):
    bundle = made._repr_mimebundle_()
    line = "Synthetic(seed 7, mask of 'heart', 'Large pleural effusion.', CTVolume(SYNTHETIC, 16 x 32 x 32 voxels of"
    assert bundle["text/plain"].startswith(line)
    assert "&quot;name&quot;: &quot;heart&quot;" in bundle["text/html"]
    assert "&quot;badge&quot;: &quot;SYNTHETIC&quot;" in bundle["text/html"]
    assert made._repr_html_() == bundle["text/html"]
    assert made.volume.is_synthetic


def test_the_line_about_it_is_short_whatever_the_report(pipeline):
    made = pipeline("No effusion.\n" * 50, seed=1, sampling=SHORT)
    assert len(repr(made)) < 250
    assert "\n" not in repr(made)
