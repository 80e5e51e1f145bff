"""Options that several commands share."""

import argparse

import pytest

from medsyn2.commands.request import add_conditions, add_model, add_sampling, refuse_idle, report_of, sampling_of
from medsyn2.errors import ConfigError, ReportError


@pytest.fixture
def parse():
    parser = argparse.ArgumentParser()
    add_model(parser)
    add_conditions(parser, "what")
    add_sampling(parser)
    return lambda *options: parser.parse_args(["--model", "m", *map(str, options)])


def test_only_values_that_were_given_change_the_sampling(parse):
    assert sampling_of(parse()) == {}
    assert sampling_of(parse("--steps", 3, "--guidance-mask", 0)) == {"num_steps": 3, "guidance_mask": 0.0}


def test_a_report_comes_from_the_option_or_from_a_file(parse, tmp_path):
    (tmp_path / "report.txt").write_text("\ufeffNormal.", encoding="utf-8")
    assert report_of(parse()) is None
    assert report_of(parse("--report", "Normal.")) == report_of(parse("--report-file", tmp_path / "report.txt"))
    (tmp_path / "large.txt").write_bytes(b"x" * 65537)
    with pytest.raises(ReportError, match="65,537 bytes"):
        report_of(parse("--report-file", tmp_path / "large.txt"))


def test_options_without_effect_are_named_as_they_are_written(parse):
    refuse_idle(parse(), ("num_steps", "mask_text"), "leave them out.")
    with pytest.raises(ConfigError, match="--steps, --mask-text would"):
        refuse_idle(parse("--steps", 3, "--mask-text", "heart"), ("num_steps", "mask_text"), "leave them out.")
