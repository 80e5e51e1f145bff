"""Recorded maps are those that the network used."""

import pytest
import torch
from torch import nn

from medsyn2.nn.transformer.attention_maps import entropy_share, first_token_mass, recording
from medsyn2.nn.transformer.dit import DiT
from medsyn2.nn.transformer.layers import GatedAttention, split_heads

TINY = {"latent_channels": 4, "text_width": 20, "width": 48, "depth": 2, "num_heads": 4, "patch": (2, 2, 2)}


def network(**changes: object) -> DiT:
    torch.manual_seed(0)
    made = DiT(**{**TINY, **changes})
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made


@pytest.fixture
def inputs() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    latents, mask_latents = torch.randn(2, 2, 4, 4, 6, 4)
    return latents, torch.tensor([0.3, 0.9]), mask_latents, torch.randn(2, 9, 20)


@pytest.mark.parametrize(("layout", "qk_norm"), [("paper", False), ("paper", True), ("official", False)])
def test_the_map_of_one_head_makes_the_attention_s_output(layout: str, qk_norm: bool, inputs) -> None:
    made = network(depth=1, num_heads=1, layout=layout, qk_norm=qk_norm, gate=False, width=18)
    attention, seen = made.blocks[0].cross_attention, {}
    attention.num_heads = 1  # of three in the layout of the release
    attention.register_forward_hook(lambda _, given, output: seen.update(text=given[1], output=output))
    with recording(made) as record, torch.no_grad():
        made(*inputs)
        values = attention.key_value(seen["text"])[..., 18:]
        again = attention.out(record.mean() @ values)
    torch.testing.assert_close(again, seen["output"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", ["paper", "official"])
def test_recording_changes_nothing_and_ends(layout: str, inputs) -> None:
    made = network(layout=layout)
    with torch.no_grad():
        expected = made(*inputs)
        with recording(made) as record:
            assert torch.equal(made(*inputs), expected)
        assert record.num_maps == 2
        made(*inputs)
    assert record.num_maps == 2
    weights = record.mean()
    assert weights.shape == (2, 2 * 3 * 2, 9)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 12))


def test_heads_and_blocks_are_averaged_as_an_explicit_softmax(inputs) -> None:
    made, maps = network(), []

    def explicit(module: GatedAttention, given: tuple, _: object) -> None:
        x, text, _ = given
        q = split_heads(module.query(x), 4)
        k = split_heads(module.key_value(text).chunk(2, dim=-1)[0], 4)
        maps.append(torch.softmax(q @ k.mT / 12**0.5, dim=-1).mean(dim=1))

    for block in made.blocks:
        block.cross_attention.register_forward_hook(explicit)
    with recording(made) as record, torch.no_grad():
        made(*inputs)
    torch.testing.assert_close(record.mean(), torch.stack(maps).mean(dim=0))


def test_the_longest_text_counts(inputs) -> None:
    made = network()
    latents, t, mask_latents, text = inputs
    with torch.no_grad():
        with recording(made) as alone:
            made(*inputs)
        with recording(made) as among:
            made(latents, t, mask_latents, text[:, :4])
            made(*inputs)
            made(latents, t, mask_latents, text[:, :4])
    assert among.num_maps == 2
    assert torch.equal(alone.mean(), among.mean())


def test_a_text_mask_and_nothing_recorded_are_errors(inputs) -> None:
    made = network()
    with recording(made) as record:
        with pytest.raises(ValueError, match="without a mask"):
            made(*inputs, torch.arange(9) < torch.tensor([[5], [8]]))
        with pytest.raises(ValueError, match="no attention was recorded"):
            record.mean()


def test_numbers_of_known_maps() -> None:
    alike, sink = torch.full((1, 5, 8), 1 / 8), torch.zeros(1, 5, 8)
    sink[..., 0] = 1
    assert first_token_mass(alike).item() == pytest.approx(1 / 8)
    assert entropy_share(alike).item() == pytest.approx(1)
    assert first_token_mass(sink).item() == 1
    assert entropy_share(sink).item() == 0
    half = torch.zeros(1, 5, 8)
    half[..., :2] = 0.5
    assert entropy_share(half).item() == pytest.approx(1 / 3)
