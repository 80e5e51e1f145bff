import json
from pathlib import Path

import pytest
import torch

from medsyn2.config import TokenizerConfig
from medsyn2.errors import ConfigError, WeightsError
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.weights.conversion.tokenizer import (
    build_tokenizer,
    check_published_config,
    detect_layout,
    tokenizer_config,
)

GOLDEN = Path(__file__).parents[3] / "golden" / "tokenizer_keys.json"
LAYOUTS = ("v1.2", "v1.1", "official")


def empty_state(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def network(layout: str) -> CausalVideoVAE:
    torch.manual_seed(0)
    mode = "uniform_paper" if layout == "official" else "uniform_aligned"
    return CausalVideoVAE(32, (1, 2, 2, 3), num_res_blocks=1, latent_channels=3, depth_mode=mode, layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_names_and_shapes_say_everything(layout: str) -> None:
    state = empty_state(json.loads(GOLDEN.read_text("utf-8"))["shapes"][layout])
    mode = "uniform_paper" if layout == "official" else "uniform_aligned"
    expected = TokenizerConfig(
        hidden_channels=128, num_res_blocks=2, latent_channels=4, norm_groups=32, layout=layout, depth_mode=mode
    )
    assert tokenizer_config(state, source="x") == expected


@pytest.mark.realdata
def test_published_lists_are_told_apart(real_data: Path) -> None:
    def keys(name: str) -> dict[str, list[int]]:
        content = json.loads((real_data / name).read_text("utf-8"))
        return content.get("keys", content)

    assert detect_layout(empty_state(keys("tokenizer/keys_v12.json")), source="x") == "v1.2"
    assert detect_layout(empty_state(keys("tokenizer/keys_v11.json")), source="x") == "v1.1"
    assert detect_layout(empty_state(keys("official/keys_vae.json")), source="x") == "official"
    with pytest.raises(WeightsError, match=r"tokenizer-v1\.0"):
        detect_layout(empty_state(keys("tokenizer/keys_v10.json")), source="x")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_size_is_found_and_filled(layout: str) -> None:
    source = network(layout)
    config, filled = build_tokenizer(source.state_dict(), source="x")
    assert config.channel_multipliers == (1, 2, 2, 3)
    assert (config.num_res_blocks, config.latent_channels) == (1, 3)
    ct = torch.randn(1, 1, 4, 8, 8)
    with torch.no_grad():
        assert torch.equal(source.encode(ct).mean, filled.encode(ct).mean)


def test_depth_mode_is_the_caller_s_choice() -> None:
    state = network("v1.2").state_dict()
    assert build_tokenizer(state, "first_frame", source="x")[1].depth_mode == "first_frame"
    with pytest.raises(ConfigError, match="uniform_paper"):
        build_tokenizer(network("official").state_dict(), "uniform_aligned", source="x")


def test_v1_0_is_refused_with_the_reason() -> None:
    state = {"encoder.conv_in.conv.weight": torch.zeros(32, 3, 3, 3, 3)}
    with pytest.raises(WeightsError, match=r"tokenizer-v1\.0.*mixes channels and slices"):
        build_tokenizer(state, source="x")


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("encoder.conv_in.weight", "no encoder.conv_in.weight"),
        ("encoder.down.2.block.0.conv1.conv.weight", "no encoder.down.2.block.0.conv1.conv.weight"),
        ("decoder.mid.attn_1.q.conv.bias", "missing.*decoder.mid.attn_1.q.conv.bias"),
    ],
)
def test_a_lost_tensor_is_named(lost: str, named: str) -> None:
    state = dict(network("v1.2").state_dict())
    del state[lost]
    with pytest.raises(WeightsError, match=named):
        build_tokenizer(state, source="x")


def test_other_networks_are_refused() -> None:
    state = dict(network("v1.2").state_dict())
    with pytest.raises(WeightsError, match=r"unexpected.*decoder\.extra"):
        build_tokenizer({**state, "decoder.extra": torch.zeros(1)}, source="x")
    narrow = CausalVideoVAE(8, num_res_blocks=1, norm_groups=4).state_dict()
    with pytest.raises(WeightsError, match="multiples of 32"):
        build_tokenizer(narrow, source="x")


def test_a_published_config_with_the_mixing_attention_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"hidden_size": 128, "encoder_attention": "AttnBlock3DFix"}), encoding="utf-8")
    check_published_config(path)
    path.write_text(json.dumps({"encoder_attention": "AttnBlock3D"}), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"tokenizer-attention.*encoder_attention"):
        check_published_config(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="weights-unreadable"):
        check_published_config(path)
