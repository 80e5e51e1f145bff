import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from medsyn2.ct.intensity import unit_to_hu
from medsyn2.ct.volume import LabelMap, axis_aligned_affine
from medsyn2.errors import ConfigError, MaskError, ReportError, WeightsError
from medsyn2.flow import Sampling
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.pipeline import MedSyn2Pipeline, Step
from medsyn2.pipeline.generation import ABSENT
from medsyn2.weights.model_folder import PROMPTS, read_description

PLAIN = Sampling("euler", 2, guidance_mask=1.0)
FAST = {"seed": 3, "sampling": PLAIN}
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
    assert [volume.recipe.mode for volume in volumes[:6]] == ["neither", "report", "report", "mask", "mask", "both"]


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
        expected = statistics.normalize(pipeline.tokenizer.encode(background).mode())
        encoded = pipeline._encode(np.zeros(mask.shape, bool), "heart", "float32")
    torch.testing.assert_close(encoded, expected)
    assert encoded.abs().max() > 0.01


def test_the_latents_decode_to_the_volume(pipeline):
    made = pipeline(REPORT, **FAST)
    statistics = pipeline.description.latents.image
    with torch.inference_mode():
        unit = pipeline.tokenizer.decode(statistics.denormalize(made.latents))[0, 0]
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
    with pytest.raises(ConfigError, match="seed-invalid"):
        pipeline(**FAST | {"seed": -1})


def test_guidance_of_one_is_none_and_more_changes_the_volume(pipeline, mask):
    def guided(**scales):
        sampling = replace(PLAIN, **scales)
        return pipeline(REPORT, mask=mask, mask_text="heart", seed=3, sampling=sampling)

    plain = guided()
    assert not same(plain, guided(guidance_report=3.0))
    assert not same(plain, guided(guidance_mask=3.0))
    assert same(guided(guidance_report=0.0, guidance_mask=0.0), pipeline(**FAST))
    only_mask = guided(guidance_report=0.0)
    assert same(only_mask, pipeline(mask=mask, mask_text="heart", **FAST))


def test_progress_is_reported_to_the_end(pipeline):
    seen = []
    made = pipeline(**FAST, progress=seen.append)
    assert [(step.phase, step.done, step.total) for step in seen] == [
        ("solve", 1, 2),
        ("solve", 2, 2),
        ("decode", 1, 1),
        ("decode", 1, 1),
    ]
    assert [step.result for step in seen] == [None, None, None, made]


def test_a_preview_is_a_volume_and_who_stops_iterating_computes_no_more(pipeline):
    recipe = pipeline.recipe(REPORT, **FAST)
    steps = pipeline.steps(recipe)
    first = next(steps)
    assert isinstance(first, Step)
    assert pipeline.decode(first.clean).shape == pipeline.grid.shape
    calls = []
    handle = pipeline.dit.register_forward_hook(lambda *_: calls.append(1))
    steps.close()
    handle.remove()
    assert calls == []


def test_decoding_in_windows_reports_each(tiny_model):
    pipeline = MedSyn2Pipeline.from_pretrained(tiny_model)
    latents = replace(pipeline.description.latents, window=(16, 16, 16))
    pipeline.description = replace(pipeline.description, latents=latents)
    parts = [(step.done, step.total) for step in pipeline.steps(pipeline.recipe(**FAST)) if step.phase == "decode"]
    assert parts[:-1] == [(done, 4) for done in range(1, 5)]


def test_the_seed_is_0_and_the_sampling_the_models_unless_asked_otherwise(pipeline):
    made = pipeline(REPORT)
    assert (made.recipe.seed, made.recipe.sampling) == (0, pipeline.description.sampling)
    assert same(made, pipeline(REPORT, seed=0, sampling=pipeline.sampling))


def test_a_saved_model_is_the_model(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "copy")
    copy = MedSyn2Pipeline.from_pretrained(tmp_path / "copy")
    assert copy.description == pipeline.description
    assert same(copy(REPORT, **FAST), pipeline(REPORT, **FAST))
    with pytest.raises(ConfigError, match="not empty"):
        pipeline.save_pretrained(tmp_path / "copy")


def test_another_component_makes_another_model(tiny_model, other_tiny_model, tmp_path):
    mixed, other = (MedSyn2Pipeline.from_pretrained(one) for one in (tiny_model, other_tiny_model))
    mixed.dit = other.dit
    mixed.save_pretrained(tmp_path / "mixed")
    again = MedSyn2Pipeline.from_pretrained(tmp_path / "mixed")
    assert again.description.fingerprint not in (mixed.description.fingerprint, other.description.fingerprint)
    assert same(again(REPORT, **FAST), mixed(REPORT, **FAST))


def test_an_edit_of_strength_one_is_a_new_volume_of_the_same_noise_and_of_zero_the_same_volume(pipeline, mask):
    steps = {"sampling": Sampling("euler", 4)}
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
            dit=other.dit, tokenizer=other.tokenizer, text_encoder=other.text_encoder, description=other.description
        )


def test_the_files_of_a_loaded_model_are_written_byte_by_byte(tiny_model, tmp_path):
    MedSyn2Pipeline.from_pretrained(tiny_model).save_pretrained(tmp_path / "model")
    assert read_description(tmp_path / "model") == read_description(tiny_model)


def test_prompts_of_its_own_are_kept(tiny_model, tmp_path):
    loaded = MedSyn2Pipeline.from_pretrained(tiny_model)
    prompts = {ABSENT: torch.full((3, 16), 0.5)}
    parts = {"dit": loaded.dit, "tokenizer": loaded.tokenizer, "text_encoder": loaded.text_encoder}
    model = MedSyn2Pipeline(**parts, description=loaded.description, prompts=prompts)
    model.save_pretrained(tmp_path / "model")
    assert PROMPTS in read_description(tmp_path / "model").files
    again = MedSyn2Pipeline.from_pretrained(tmp_path / "model")
    assert torch.equal(again.texts.prompts[ABSENT], prompts[ABSENT])
    assert again.description.fingerprint != loaded.description.fingerprint


def test_a_text_encoder_reads_as_before(tiny_model, tmp_path):
    encoder = TextEncoder.from_folder(tiny_model / "text_encoder")
    encoder.save(tmp_path / "encoder")
    again = TextEncoder.from_folder(tmp_path / "encoder")
    words = ["Large pleural effusion."]
    np.testing.assert_array_equal(encoder.encode(words, 16).embeddings, again.encode(words, 16).embeddings)
