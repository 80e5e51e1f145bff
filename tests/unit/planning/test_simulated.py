"""One simulated pass costs what its network implies, whatever was run before it."""

import pytest

from medsyn2.config import Config
from medsyn2.planning.passes import Networks
from medsyn2.planning.simulated import SimulatedTokenizer, SimulatedTransformer
from tests.unit.planned import config


def dit(of: Config) -> SimulatedTransformer:
    return SimulatedTransformer(Networks.of(of).transformer)


def test_a_pass_costs_the_same_in_any_order() -> None:
    network, other = dit(config()), dit(config())
    forward, training = network.forward(), network.training()
    assert (other.training(), other.forward()) == (training, forward)
    assert training.flops > 2 * forward.flops * config().train_dit.batch_size
    assert training.peak_bytes > forward.peak_bytes


def test_weights_are_counted_in_float32() -> None:
    given = dit(config(encode_text={"encoder_dir": "cxr-bert"}))
    assert given.num_parameters > dit(config()).num_parameters
    assert given.weight_bytes == 4 * given.num_parameters


def test_bfloat16_takes_as_many_operations() -> None:
    half, full = (Networks.of(config(inference={"precision": one})) for one in ("bf16", "float32"))
    for run in (SimulatedTokenizer.encoding, SimulatedTokenizer.decoding):
        assert run(SimulatedTokenizer(half.tokenizer)).flops == run(SimulatedTokenizer(full.tokenizer)).flops
    halved, whole = (SimulatedTransformer(one.transformer).forward() for one in (half, full))
    assert halved.flops == whole.flops


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_what_is_computed_again_has_the_types_of_the_first_time(mode: str) -> None:
    """PyTorch refuses a checkpointed block whose tensors differ."""
    training = {"precision": "bf16-mixed", "checkpointing": mode}
    assert dit(config(train_dit=training)).training().flops > dit(config()).training().flops


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_perceptual_loss_is_a_part_of_the_tokenizers_step(precision: str) -> None:
    sizes = {"crop_shape": [16, 16, 16], "batch_size": 2, "precision": precision}
    plain, perceptual = (
        SimulatedTokenizer(Networks.of(config(train_tokenizer={**sizes, "perceptual_weights": weights})).tokenizer)
        for weights in (None, "lpips.json")
    )
    part, whole = perceptual.perceptual_loss(), perceptual.training()
    assert plain.perceptual_loss().flops == 0
    assert whole.flops == plain.training().flops + part.flops
    assert part.peak_bytes < whole.peak_bytes
    # Of VGG16 on 224 x 224 pixels, 15.3 GMAC are those of its convolutions; two images go forward, one of them back.
    images = sizes["batch_size"] * 16
    assert part.flops == pytest.approx(3 * 2 * 15.35e9 * (16 / 224) ** 2 * images, rel=0.02)
