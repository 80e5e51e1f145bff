import pytest

from medsyn2.config import Config
from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.transformer.dit import DiT
from medsyn2.planning.description import Description, describe
from medsyn2.planning.passes import Networks


def total(parts) -> int:
    return sum(part.parameters for part in parts)


def work(found: Description, name: str):
    (one,) = [work for work in found.work if work.name.startswith(name)]
    return one


def test_the_default_s_numbers_are_those_of_its_networks() -> None:
    config = Config()
    found = describe(config)
    width = config.train_text_encoder.hidden_size
    channels = config.tokenizer.latent_channels
    dit = DiT(latent_channels=channels, text_width=width, **config.dit.model_dump())
    tokenizer = CausalVideoVAE(**config.tokenizer.model_dump())
    assert total(found.dit) == sum(parameter.numel() for parameter in dit.parameters())
    assert total(found.tokenizer) == sum(parameter.numel() for parameter in tokenizer.parameters())
    assert found.latent_shape == (channels, *tokenizer.latent_shape(config.grid.shape))
    assert {part.copies for part in found.dit if part.name.startswith("blocks")} == {config.dit.depth}


def test_operations_of_a_forward_pass_follow_the_formula() -> None:
    """Products of a block and of the ends, as sums over layers; convolution over tokens included."""
    config = Config.model_validate({"dit": {"width": 96, "depth": 3, "num_heads": 4, "qk_norm": False}})
    found = describe(config)
    n, m, e, c = found.tokens, found.text_tokens, 96, config.train_text_encoder.hidden_size
    attention = 4 * n * n * e + 2 * n * 5 * e * e
    cross = 4 * n * m * e + 2 * n * 3 * e * e + 2 * m * c * 2 * e
    others = 2 * n * 8 * e * e + 2 * n * e * (27 + e) + 2 * e * 9 * e
    voxels = 8 * config.tokenizer.latent_channels  # values of a token: 8 latents
    ends = 2 * n * e * (2 * voxels + voxels) + 2 * e * (256 + e) + 2 * e * 2 * e
    assert work(found, "transformer, forward, bf16").flops == 3 * (attention + cross + others) + ends


def test_what_checkpointing_and_batches_change() -> None:
    settings = {"train_dit": {"batch_size": 1}}
    plain = Networks.of(Config.model_validate(settings)).dit_training()
    settings["train_dit"]["checkpointing"] = "full"
    full = Networks.of(Config.model_validate(settings)).dit_training()
    assert full.flops > 1.2 * plain.flops
    assert full.peak_bytes < plain.peak_bytes
    four = Networks.of(Config.model_validate({"train_dit": {"batch_size": 4}})).dit_training()
    assert four.flops == pytest.approx(4 * plain.flops, rel=1e-2)


def test_an_impossible_grid_is_refused() -> None:
    config = Config.model_validate({"tokenizer": {"depth_mode": "first_frame"}})
    with pytest.raises(ConfigError, match="tokenizer-shape"):
        describe(config)


def test_inference_is_described_in_each_precision_that_a_device_may_choose() -> None:
    names = [work.name for work in describe(Config()).work if work.name.startswith("tokenizer, decode")]
    assert names == ["tokenizer, decode a volume, bf16", "tokenizer, decode a volume, float32"]
    asked = Config.model_validate({"inference": {"precision": "float32"}})
    assert not [work.name for work in describe(asked).work if "bf16" in work.name]
