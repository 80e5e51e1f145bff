import json
import logging
import shutil

import numpy as np
import pytest
import torch

from medsyn2.ct.intensity import unit_to_hu
from medsyn2.ct.volume import LabelMap, axis_aligned_affine
from medsyn2.errors import ConfigError, MaskError, ReportError, WeightsError
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.inputs import normal, raw

FAST = {"seed": 3, "solver": "euler", "num_steps": 2}
REPORT = "A nodule of 5 mm in the right upper lobe."


@pytest.fixture(scope="module")
def pipeline(tiny_model):
    return MedSyn2Pipeline.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def mask(pipeline, tiny_mask):
    return LabelMap(tiny_mask, pipeline.grid.affine_mm)


def same(one, other):
    return np.array_equal(one.volume.hu, other.volume.hu)


def test_the_volume_is_in_hu_on_the_models_grid(pipeline):
    volume = pipeline(REPORT, **FAST).volume
    assert volume.hu.dtype == np.int16
    assert volume.hu.min() >= -1024
    assert volume.hu.max() <= 1024
    assert volume.hu.std() > 0
    assert volume.shape == (16, 32, 32)
    assert volume.spacing_mm == (4.0, 3.0, 3.0)
    np.testing.assert_array_equal(volume.affine_mm, pipeline.grid.affine_mm)


def test_the_same_seed_gives_the_same_voxels_in_a_new_pipeline_and_another_seed_others(pipeline, tiny_model):
    first = pipeline(REPORT, **FAST)
    torch.manual_seed(99)
    assert same(first, MedSyn2Pipeline.from_pretrained(tiny_model)(REPORT, **FAST))
    assert not same(first, pipeline(REPORT, **FAST | {"seed": 4}))


def test_every_condition_changes_the_volume(pipeline, mask):
    volumes = [
        pipeline(**FAST),
        pipeline(REPORT, **FAST),
        pipeline("Large pleural effusion.", **FAST),
        pipeline(mask=mask, mask_text="heart", **FAST),
        pipeline(mask=mask, mask_text="lung nodules", **FAST),
        pipeline(REPORT, mask=mask, mask_text="heart", **FAST),
        pipeline(mask=LabelMap(np.roll(mask.labels, 6, axis=0), mask.affine_mm), mask_text="heart", **FAST),
    ]
    for index, one in enumerate(volumes):
        assert not any(same(one, other) for other in volumes[index + 1 :])
    assert [volume.recipe.mode for volume in volumes[:6]] == [
        "neither",
        "report",
        "report",
        "mask",
        "mask",
        "both",
    ]


def test_an_empty_mask_is_not_an_absent_mask(pipeline, mask):
    empty = LabelMap(np.zeros_like(mask.labels), mask.affine_mm)
    asked = pipeline(mask=empty, mask_text="heart", **FAST)
    assert asked.recipe.mode == "mask"
    assert not same(asked, pipeline(**FAST))
    assert any("empty" in note for note in asked.recipe.notes)


def test_the_absent_mask_is_zeros_after_normalisation_and_an_empty_one_is_encoded(pipeline, mask):
    statistics = pipeline.description.latents.mask
    background = torch.full((1, 1, *mask.shape), -0.5)
    with torch.inference_mode():
        expected = normal(pipeline.tokenizer.encode(background).mode(), statistics.mean, statistics.std)
        encoded = pipeline._encoded(np.zeros(mask.shape, bool), "heart")
    torch.testing.assert_close(encoded, expected)
    assert encoded.abs().max() > 0.01


def test_the_latents_decode_to_the_volume(pipeline):
    made = pipeline(REPORT, **FAST)
    statistics = pipeline.description.latents.image
    with torch.inference_mode():
        unit = pipeline.tokenizer.decode(raw(made.latents, statistics.mean, statistics.std))[0, 0]
    np.testing.assert_array_equal(unit_to_hu(unit.numpy(), (-1024.0, 1024.0)), made.volume.hu)


def test_findings_and_impression_are_joined_and_absent_ones_are_no_report(pipeline):
    parts = pipeline(findings=REPORT, impression="Nodule.", **FAST)
    assert same(parts, pipeline(f"{REPORT} [SEP] Nodule.", **FAST))
    assert same(pipeline("Not given.", **FAST), pipeline(**FAST))


def test_a_mask_on_another_grid_is_brought_to_the_models(pipeline, mask, caplog):
    fine = LabelMap(
        np.repeat(np.repeat(np.repeat(mask.labels, 2, 0), 2, 1), 2, 2).astype(np.uint8) * 255,
        axis_aligned_affine((2.0, 1.5, 1.5), (-48.75, -40.75, -31.0)),
    )
    with caplog.at_level(logging.WARNING):
        made = pipeline(mask=fine, mask_text="heart", **FAST)
    np.testing.assert_array_equal(made.recipe.mask, mask.labels)
    assert same(made, pipeline(mask=mask, mask_text="heart", **FAST))
    assert "255" in caplog.text
    assert "32 x 64 x 64" in caplog.text


@pytest.mark.parametrize("name", ["lobes", "lung_lobes", "Lung  Lobes"])
def test_a_structure_may_be_called_by_its_name_or_its_words(pipeline, mask, name):
    made = pipeline(mask=mask, mask_text=name, **FAST)
    assert made.recipe.words == "lung lobes"
    assert made.recipe.notes == ()


def test_unknown_and_untrained_words_are_allowed_and_noted(pipeline, mask):
    stone = pipeline(mask=mask, mask_text="lung nodule", **FAST)
    assert "'lung nodules'" in stone.recipe.notes[0]
    effusion = pipeline(mask=mask, mask_text="pleural effusion", **FAST)
    assert "no training case" in effusion.recipe.notes[0]


def test_text_that_does_not_fit_is_named(pipeline, mask):
    long_words = "a very long description of a structure " * 5
    made = pipeline("nodule " * 60 + "the end.", mask=mask, mask_text=long_words, **FAST)
    assert any("32 tokens" in note and "is provided" in note for note in made.recipe.notes)
    assert any("48 tokens" in note and "the end." in note for note in made.recipe.notes)


def test_mask_and_words_come_together(pipeline, mask):
    with pytest.raises(MaskError, match="ground glass opacity"):
        pipeline(mask=mask, **FAST)
    with pytest.raises(MaskError, match="got none"):
        pipeline(mask_text="heart", **FAST)


def test_what_cannot_be_used_is_refused_before_anything_is_computed(pipeline, mask):
    full = LabelMap(np.ones_like(mask.labels), mask.affine_mm)
    with pytest.raises(MaskError, match="background"):
        pipeline(mask=full, mask_text="heart", **FAST)
    with pytest.raises(ReportError, match="both"):
        pipeline(REPORT, findings=REPORT, **FAST)
    with pytest.raises(ReportError, match="no word"):
        pipeline("结节 肺", **FAST)
    for wrong in ({"num_steps": 0}, {"t_end": 0.0}, {"seed": -1}, {"guidance_mask": float("nan")}):
        with pytest.raises(ConfigError):
            pipeline(**FAST | wrong)


def test_guidance_of_one_is_none_and_more_changes_the_volume(pipeline, mask):
    asked = {"report": REPORT, "mask": mask, "mask_text": "heart", **FAST}
    plain = pipeline(**asked)
    assert not same(plain, pipeline(**asked, guidance_report=3.0))
    assert not same(plain, pipeline(**asked, guidance_mask=3.0))
    nothing = pipeline(**asked, guidance_report=0.0, guidance_mask=0.0)
    assert same(nothing, pipeline(**FAST))
    only_mask = pipeline(**asked, guidance_report=0.0)
    assert same(only_mask, pipeline(mask=mask, mask_text="heart", **FAST))


def test_progress_is_reported_to_the_end(pipeline):
    seen = []
    pipeline(**FAST, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_an_edit_of_strength_one_is_a_new_volume_of_the_same_noise_and_of_zero_the_same_volume(
    pipeline, mask
):
    steps = {"solver": "euler", "num_steps": 4}
    before = pipeline(REPORT, seed=3, **steps)
    asked = {"mask": mask, "mask_text": "heart", **steps}
    assert same(pipeline.edit(before, **asked, strength=1.0), pipeline(seed=3, **asked))
    assert same(pipeline.edit(before, **asked, strength=0.0), before)
    middle = pipeline.edit(before, **asked, strength=0.5)
    assert not same(middle, before)
    assert not same(middle, pipeline(seed=3, **asked))
    assert middle.recipe.before == before.recipe
    with pytest.raises(ConfigError, match="strength"):
        pipeline.edit(before, strength=1.5)


def test_a_volume_of_another_model_is_not_edited(pipeline, other_tiny_model):
    foreign = MedSyn2Pipeline.from_pretrained(other_tiny_model)(**FAST)
    with pytest.raises(WeightsError, match="made by the model"):
        pipeline.edit(foreign)


def test_a_changed_file_in_the_folder_is_refused(tiny_model, tmp_path):
    copy = shutil.copytree(tiny_model, tmp_path / "model")
    weights = copy / "dit.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match=r"dit\.safetensors"):
        MedSyn2Pipeline.from_pretrained(copy)


def test_components_that_do_not_fit_are_refused(pipeline, tiny_model):
    other = MedSyn2Pipeline.from_pretrained(tiny_model)
    other.text_encoder.bert.config.hidden_size = 8
    with pytest.raises(WeightsError, match="text encoder 8"):
        MedSyn2Pipeline(
            dit=other.dit,
            tokenizer=other.tokenizer,
            text_encoder=other.text_encoder,
            description=other.description,
        )


def test_a_stream_of_a_volume_that_a_window_covers_is_the_volume_decoded_at_once(pipeline):
    windows, stream = pipeline(REPORT, **FAST), pipeline(REPORT, **FAST, decode="stream")
    assert torch.equal(stream.latents, windows.latents)
    assert np.abs(stream.volume.hu - windows.volume.hu).max() <= 1
    assert stream.recipe.sampling.decode == "stream"


def test_a_stream_is_made_again_from_its_sidecar_and_older_sidecars_were_windows(pipeline, tmp_path):
    stream = pipeline(REPORT, **FAST, decode="stream")
    stream.save(tmp_path / "volume.nii.gz")
    assert same(stream, pipeline.remake(tmp_path / "volume.json"))
    values = json.loads((tmp_path / "volume.json").read_text())
    assert values.pop("decode") == "stream"
    (tmp_path / "older.json").write_text(json.dumps(values))
    assert pipeline.remake(tmp_path / "older.json").recipe.sampling.decode == "windows"


def test_a_stream_of_a_tokenizer_that_has_none_is_refused_before_it_is_sampled(tiny_model):
    pipeline = MedSyn2Pipeline.from_pretrained(tiny_model)
    pipeline.tokenizer = CausalVideoVAE(
        8, num_res_blocks=1, norm_groups=4, layout="official", depth_mode="uniform_paper"
    )
    with pytest.raises(ConfigError, match="stream-layout"):
        pipeline(**FAST, decode="stream", progress=lambda *_: pytest.fail("it was sampled"))
