"""A pass is simulated with all settings that it follows from, and with no others."""

import pytest

from medsyn2.config import Config
from medsyn2.planning.passes import Networks, text_width
from tests.unit.planned import config


def test_a_given_encoder_is_taken_for_cxr_bert() -> None:
    given = config(encode_text={"encoder_dir": "cxr-bert"})
    assert (text_width(config()), text_width(given)) == (64, 768)


def test_inference_runs_in_the_configured_precision_or_in_that_of_the_device() -> None:
    asked = {setting: config(inference={"precision": setting}) for setting in ("auto", "bf16", "float32")}
    found = {
        (setting, has_bf16): Networks.of(of, has_bf16=has_bf16).precision
        for setting, of in asked.items()
        for has_bf16 in (True, False)
    }
    assert found == {
        ("auto", True): "bf16",
        ("auto", False): "float32",
        **{(setting, has_bf16): setting for setting in ("bf16", "float32") for has_bf16 in (True, False)},
    }


def passes(of: Config) -> tuple[object, object]:
    networks = Networks.of(of)
    return networks.tokenizer, networks.transformer


@pytest.mark.parametrize(
    ("changed", "tokenizer", "transformer"),
    [
        ({"train_dit": {"num_steps": 99}}, False, False),
        ({"train_dit": {"batch_size": 3}}, False, True),
        ({"train_dit": {"checkpointing": "full"}}, False, True),
        ({"dit": {"width": 48}}, False, True),
        ({"encode_text": {"max_report_tokens": 40}}, False, True),
        ({"train_tokenizer": {"batch_size": 3}}, True, False),
        ({"encode_latents": {"overlap": 0.5}}, True, False),
        ({"tokenizer": {"hidden_channels": 8}}, True, False),
        ({"grid": {"shape": [24, 32, 32]}}, True, True),
        ({"inference": {"precision": "bf16"}}, True, True),
    ],
)
def test_a_changed_setting_simulates_the_passes_that_follow_from_it(
    changed: dict[str, dict[str, object]], tokenizer: bool, transformer: bool
) -> None:
    before = passes(config(inference={"precision": "float32"}))
    after = passes(config(**{"inference": {"precision": "float32"}, **changed}))
    assert [one != other for one, other in zip(before, after, strict=True)] == [tokenizer, transformer]
