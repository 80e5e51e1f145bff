"""One pass costs what its network implies, whatever was run before it."""

import pytest

from medsyn2.planning.passes import Networks, num_parameters, text_width, weight_bytes
from tests.unit.planned import config


def test_a_pass_costs_the_same_in_any_order() -> None:
    networks, other = Networks.of(config()), Networks.of(config())
    forward, training = networks.dit_forward(), networks.dit_training()
    assert (other.dit_training(), other.dit_forward()) == (training, forward)
    assert training.flops > 2 * forward.flops * config().train_dit.batch_size
    assert training.peak_bytes > forward.peak_bytes


def test_a_given_encoder_is_taken_for_cxr_bert() -> None:
    given = config(encode_text={"encoder_dir": "cxr-bert"})
    assert (text_width(config()), text_width(given)) == (64, 768)
    assert num_parameters(Networks.of(given).dit) > num_parameters(Networks.of(config()).dit)
    assert weight_bytes(Networks.of(given).dit) == 4 * num_parameters(Networks.of(given).dit)


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


def test_bfloat16_takes_as_many_operations() -> None:
    half, full = (Networks.of(config(inference={"precision": one})) for one in ("bf16", "float32"))
    for run in (Networks.dit_forward, Networks.encoding, Networks.decoding):
        assert run(half).flops == run(full).flops


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_what_is_computed_again_has_the_types_of_the_first_time(mode: str) -> None:
    """PyTorch refuses a checkpointed block whose tensors differ."""
    training = {"precision": "bf16-mixed", "checkpointing": mode}
    again = Networks.of(config(train_dit=training)).dit_training()
    assert again.flops > Networks.of(config()).dit_training().flops
