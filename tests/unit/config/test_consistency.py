"""Mistakes that would be met hours after the start are met before it, and named."""

import pytest
import yaml

from medsyn2.config import Config, validate_config
from medsyn2.config.consistency import disagreements, schedule_notes, tool_notes, trainings
from medsyn2.errors import ConfigError
from medsyn2.vocabulary import STRUCTURES


def test_the_defaults_agree() -> None:
    assert list(disagreements(Config())) == []


@pytest.mark.parametrize(
    ("text", "named", "came"),
    [
        ("dit: {patch: [3, 3, 3]}", "dit.patch", "(3, 3, 3)"),
        ("grid: {shape: [60, 96, 96]}", "dit.patch", "(15, 12, 12)"),
        ("variants: {coarse: {dit: {patch: [2, 2, 5]}}}", "variants.coarse.dit.patch", "(2, 2, 5)"),
        ("train_tokenizer: {crop_shape: [64, 104, 96]}", "train_tokenizer.crop_shape", "(64, 104, 96)"),
        ("tokenizer: {norm_groups: 3}", "tokenizer.norm_groups", "got 3"),
        ("tokenizer: {depth_mode: first_frame}", "tokenizer.depth_mode", "first_frame"),
        ("tokenizer: {layout: official}", "tokenizer.depth_mode", "uniform_aligned"),
        (
            "{tokenizer: {hidden_channels: 3}, train_tokenizer: {initial_weights: null}}",
            "tokenizer.hidden_channels",
            "(3,",
        ),
        ("tokenizer: {hidden_channels: 16}", "train_tokenizer.initial_weights", "tokenizer.hidden_channels; take null"),
        ("jobs: {gpus: {train_tokenizer: 2}}", "jobs.gpus.train_tokenizer", "got 2"),
        ("{jobs: {gpus: {train_dit: 4}}, train_dit: {accumulate: 6}}", "jobs.gpus.train_dit", "which is 6"),
        (
            "{jobs: {gpus: {train_dit: 4}}, train_dit: {accumulate: 4}, variants: {odd: {train_dit: {accumulate: 3}}}}",
            "jobs.gpus.train_dit",
            "variants.odd.train_dit.accumulate, which is 3",
        ),
        ("train_dit: {num_steps: 3201}", "train_dit.decay_steps", "got 3200"),
        ("train_tokenizer: {decay_steps: 120}", "train_tokenizer.decay_steps", "take 240"),
        (
            "{train_dit: {num_steps: 8, decay_steps: 8}, variants: {long: {train_dit: {num_steps: 9}}}}",
            "variants.long.train_dit.decay_steps",
            "got 8",
        ),
        ("train_text_encoder: {max_tokens: 64}", "encode_text.max_report_tokens", "got 512"),
    ],
)
def test_sections_that_disagree_are_refused_in_a_run_and_not_in_a_stage(text: str, named: str, came: str) -> None:
    values = yaml.safe_load(text)
    with pytest.raises(ConfigError) as caught:
        validate_config(values, source="mine.yaml")
    assert f"mine.yaml is not a valid configuration: {named}: " in caught.value.message
    assert came in caught.value.message
    validate_config(values, source="a stage's own sections", whole=False)


def test_a_foreign_text_encoder_has_its_own_length() -> None:
    values = {"train_text_encoder": {"max_tokens": 64}, "encode_text": {"encoder_dir": "weights/cxr-bert"}}
    validate_config(values, source="mine.yaml")


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("train_dit: {num_steps: 50}", ["warmup_steps 50"]),
        ("train_dit: {num_steps: 3199}", ["decay_steps 3200"]),
        ("train_dit: {num_steps: 9000, decay_steps: null}", []),
        ("train_tokenizer: {gan_start: 240}", ["gan_start 240"]),
        ("train_tokenizer: {gan_start: 239}", []),
        ("train_tokenizer: {num_steps: 20, gan_start: 20}", ["warmup_steps 20", "gan_start 20"]),
        ("variants: {trial: {train_dit: {num_steps: 60}}}", ["variants.trial.train_dit.num_steps 60"]),
    ],
)
def test_a_training_that_ends_before_its_schedule_is_noted(text: str, notes: list[str]) -> None:
    config = validate_config(yaml.safe_load(text), source="mine.yaml")
    found = [note for name, training in trainings(config).items() for note in schedule_notes(name, training)]
    assert len(found) == len(notes)
    assert all(part in note for part, note in zip(notes, found, strict=True))


def test_a_tokenizer_of_other_sizes_is_trained_from_scratch_or_from_a_file() -> None:
    for initial in (None, "weights/tokenizer.json"):
        values = {"tokenizer": {"hidden_channels": 16}, "train_tokenizer": {"initial_weights": initial}}
        validate_config(values, source="mine.yaml")


def test_the_defaults_end_with_their_schedules() -> None:
    assert [note for name, one in trainings(Config()).items() for note in schedule_notes(name, one)] == []


def test_structures_without_a_tool_are_said_with_the_key_that_asks_for_them() -> None:
    assert list(tool_notes(Config())) == []
    tools = {**dict.fromkeys(STRUCTURES, "classical"), "nodules": None}
    given = {"segment": {"tools": tools}, "sample": {"joint": ["nodules", "lobes"]}}
    found = list(tool_notes(validate_config(given, source="test")))
    assert [note.split(",")[0] for note in found] == [
        "sample.joint has nodules",
        "evaluate_edits.progressive has nodules",
    ]
