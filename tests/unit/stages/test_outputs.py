"""The stage table: files, captions and the settings under which a run asks for them."""

import inspect
import re
from pathlib import Path

import pytest

from medsyn2.config import Config, validate_config
from medsyn2.stages import STAGES, Stage, caption_of, files_of_run, outputs_with_caption, page_inputs, stage_params
from medsyn2.stages.outputs import (
    Figure,
    Output,
    Table,
    if_masks_left_out,
    if_variants,
    main_model,
    main_model_and_other_gates,
    model_pattern,
    models,
    variant_prefix,
)

VARIANTS = {
    "plain": {"dit": {"conv": False}},
    "ungated": {"dit": {"gate": False}},
    "lacking": {"train_dit": {"leave_out": ["nodules"]}},
}


def config(*variants: str) -> Config:
    """Return the defaults with some variants."""
    return validate_config({"variants": {name: VARIANTS[name] for name in variants}}, source="test")


def test_main_model_is_asked_for_whatever_is_configured() -> None:
    assert main_model(config()) == main_model(config("plain")) == ("",)


def test_comparison_is_asked_for_where_there_are_variants() -> None:
    assert if_variants(config()) == ()
    assert if_variants(config("plain")) == ("",)


def test_masks_left_out_are_studied_where_a_variant_left_some_out() -> None:
    assert if_masks_left_out(config("plain")) == ()
    assert if_masks_left_out(config("plain", "lacking")) == ("",)


def test_attention_is_shown_of_the_variants_with_other_gates() -> None:
    assert main_model_and_other_gates(config("plain")) == ("",)
    assert main_model_and_other_gates(config("plain", "ungated")) == ("", "variants/ungated/")


def test_models_are_the_main_one_and_each_variant_with_its_settings() -> None:
    found = models(config("plain", "lacking"))
    assert list(found) == ["", "variants/plain/", "variants/lacking/"]
    assert found[variant_prefix("plain")].dit.conv is False
    assert stage_params(found[""], "sample") == stage_params(found["variants/plain/"], "sample")


@pytest.mark.parametrize("names", [(), ("plain",), ("plain", "ungated")])
def test_pattern_matches_the_prefixes_and_nothing_else(names: tuple[str, ...]) -> None:
    pattern = model_pattern(config(*names))
    assert all(re.fullmatch(pattern, prefix) for prefix in models(config(*names)))
    assert not re.fullmatch(pattern, "variants/lacking/")
    assert not re.fullmatch(pattern, "register/")


def test_run_asks_for_every_table_and_figure_of_its_models() -> None:
    plain, more = files_of_run(config()), files_of_run(config("ungated", "lacking"))
    assert {"results/fid_lung.csv", "results/mask_agreement_cases.csv", "results/report.html"} < set(plain)
    assert set(more) - set(plain) == {
        "results/variants.csv",
        "results/variants_cases.csv",
        "results/variants.png",
        "results/left_out.png",
        "results/variants/ungated/attention.png",
    }
    assert not any("{" in file or "train_dit/" in file for file in more)


def test_page_shows_captioned_outputs_of_other_stages() -> None:
    tables, figures = (page_inputs(config("ungated"), kind) for kind in (Table, Figure))
    assert "results/mask_agreement.csv" in tables
    assert not {"results/mask_agreement_cases.csv", "results/quarantine.csv"} & set(tables)
    assert "results/variants/ungated/attention.png" in figures
    assert all(file.endswith(".png") for file in figures)


@pytest.mark.parametrize(
    ("stage", "output"),
    list(outputs_with_caption()),
    ids=lambda part: getattr(part, "name", getattr(part, "keyword", None)),
)
def test_caption_is_plain_text_with_emphasis_alone(stage: Stage, output: Output) -> None:
    text = stage.caption_path(output).read_text("utf-8")
    assert len(text) > 20
    assert not re.search(r"[`|{}<>]|\w_\b", text)
    assert text.count("*") % 2 == 0
    assert caption_of(Path("results/variants/a") / output.files[0]).split() == text.split()


def test_every_caption_is_used() -> None:
    used = {stage.caption_path(output) for stage, output in outputs_with_caption()}
    package = Path(inspect.getfile(Stage)).parents[1]
    assert set(package.rglob("captions/*.rst")) == used


def test_no_file_is_made_twice() -> None:
    files = [file for stage in STAGES.values() for output in stage.outputs for file in output.files]
    assert len(set(files)) == len(files)


def test_file_that_no_stage_makes_has_no_caption() -> None:
    with pytest.raises(KeyError):
        caption_of(Path("other.csv"))
