"""The generated files are those of the classes, every override file is valid, and mistakes are named."""

from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from medsyn2.commands.config import default_yaml, json_schema
from medsyn2.config import Config, Section, load_config, validate_config
from medsyn2.errors import ConfigError
from medsyn2.flow import Sampling

ROOT = Path(__file__).parents[2]


def test_generated_files_are_in_step() -> None:
    advice = "run `make config`"
    assert (ROOT / "config.yaml").read_text("utf-8") == default_yaml(), advice
    assert (ROOT / "config.schema.json").read_text("utf-8") == json_schema(), advice


def test_default_file_is_the_default() -> None:
    assert load_config(ROOT / "config.yaml") == Config()


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_override_file_is_valid_and_opens_with_its_command(path: Path) -> None:
    load_config(path)
    assert path.read_text(encoding="utf-8").startswith("# snakemake ")
    assert f"configs/{path.name}" in path.read_text(encoding="utf-8").splitlines()[0]


def test_every_field_is_explained() -> None:
    for key, section in Config.model_fields.items():
        if not issubclass(section.annotation, Section | Sampling):
            assert section.description, key
            continue
        for name, about in TypeAdapter(section.annotation).json_schema()["properties"].items():
            assert about.get("description"), f"{section.annotation.__name__}.{name}"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("grid: {shpae: [8, 8, 8]}", "grid.shpae"),
        ("grid: {shape: [64, 90, 96]}", "nearest is (64, 96, 96)"),
        ("train_dit: {learning_rate: fast}", "train_dit.learning_rate"),
        ("train_dit: {mode_probabilities: [1, 1, 0, 0]}", "must sum to 1"),
        ("dit: {width: 100}", "num_heads"),
        ("variants: {no_conv: {dit: {cnov: false}}}", "variants.no_conv.dit.cnov"),
        ("variants: {no_conv: {grid: {shape: [8, 8, 8]}}}", "variants.no_conv.grid"),
        ("variants: {wide: {dit: {width: 100}}}", "variants.wide.dit"),
        ("variants: {../up: {}}", "variants.../up"),
        ("variants: {main: {}}", "main is the model of train_dit"),
        ("variants: [no_conv]", "variants"),
        ("variants: {no_conv: true}", "variants.no_conv"),
        ("grid: {clip_hu: [.nan, .nan]}", "grid.clip_hu.0"),
        ("grid: {spacing_mm: [.inf, 1, 1]}", "grid.spacing_mm.0"),
        ("train_dit: {learning_rate: .inf}", "train_dit.learning_rate"),
        ("train_dit: {structure_weights: {lobes: .inf}}", "train_dit.structure_weights.lobes"),
        ("flow: {t_logit_mean: .nan}", "flow.t_logit_mean"),
        ("flow: {t_clamp: 5}", "flow.t_clamp"),
        ("sampling: {t_end: 3}", "sampling.t_end: expected a time between 0 and 1, got 3"),
        ("sampling: {t_end: 1}", "sampling.t_end"),
        ("sampling: {num_steps: 0}", "sampling.num_steps: expected at least 1, got 0"),
        ("sampling: {guidance_mask: .nan}", "sampling.guidance_mask"),
        ("sampling: {steps: 3}", "sampling.steps"),
        ("sampling: {solver: rk4}", "sampling.solver"),
        ("sample: {structures: [], with_report: false}", "sample.with_report false"),
        ("sample: {structures: [lobes, lobes]}", "sample.structures"),
        ("evaluate_masks: {structures: [lobes, lobes]}", "evaluate_masks.structures"),
        ("evaluate_edits: {progressive: [lobes, lobes]}", "evaluate_edits.progressive"),
        ("evaluate_edits: {progressive: [lobes]}", "evaluate_edits.progressive"),
        ("evaluate_fid: {device: gpu}", "evaluate_fid.device"),
        ("train_tokenizer: {crop_shape: [13, 24, 24]}", "train_tokenizer.crop_shape"),
        ("encode_latents: {window: [5, 8, 8]}", "encode_latents.window"),
        ("encode_text: {max_report_tokens: 1}", "encode_text.max_report_tokens"),
        ("cohort: {test_every: 1}", "cohort.test_every"),
        ("jobs: {gpus: {sample: 2}}", "jobs.gpus"),
        ("jobs: {time_factor: 0.5}", "jobs.time_factor"),
        ("segment: {tools: {lobes: files}}", "segment.mask_files"),
        ("segment: {tools: {lobes: ct_rate}}", "segment.ct_rate_masks"),
        ("nonsense: {}", "nonsense"),
        ("- a list", "expected sections"),
        ("grid: [", "cannot be read as YAML"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=named.replace("(", r"\(").replace(")", r"\)")) as caught:
        load_config(path)
    assert str(path) in caught.value.message


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


def test_scientific_notation_of_yaml_1_1_is_a_number() -> None:
    values = yaml.safe_load("train_dit: {learning_rate: 1e-4}")
    assert validate_config(values, source="test").train_dit.learning_rate == 1e-4


def test_later_file_overrides_an_earlier_one_key_by_key(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("dit: {width: 96, depth: 3}\ngrid: {shape: [64, 48, 48]}", encoding="utf-8")
    second.write_text("dit: {depth: 2}", encoding="utf-8")
    config = load_config(first, second)
    assert (config.dit.width, config.dit.depth, config.grid.shape) == (96, 2, (64, 48, 48))
