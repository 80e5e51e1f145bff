"""CT-CLIP's towers against their formulas; the image tower was equal to the published code, bit for bit."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from medsyn2.errors import WeightsError
from medsyn2.evaluation.vlm3d.ct_clip import CTClip, Sizes, sizes_of, split_published
from medsyn2.weights.tensors import load_strictly

SIZES = Sizes((8, 12, 12), 4, 2, 16, 2, 4, (2, 1), 9, 6, 10)
KNOWN = {"shape": SIZES.shape, "patch": SIZES.patch, "slab": SIZES.slab}


def published(sizes: Sizes) -> dict[str, torch.Tensor]:
    """Random tensors in the layout of CT-CLIP_v2.pt, with those that embeddings do not depend on."""
    torch.manual_seed(0)
    state = {name: 0.5 * torch.randn_like(tensor) for name, tensor in CTClip(sizes).state_dict().items()}
    for name in [name for name in state if name.endswith("to_q.weight")]:
        attention = name.removesuffix("to_q.weight")
        state[f"{attention}context_norm.gamma"] = torch.ones(sizes.width)
        state[f"{attention}context_norm.beta"] = torch.zeros(sizes.width)
        state[f"{attention}null_kv"] = torch.zeros(sizes.heads, 0, sizes.head_width)
    for name in ("to_patch_emb_first_frame.2.weight", "to_pixels.0.bias", "vq._codebook.cluster_size"):
        state[f"visual_transformer.{name}"] = torch.zeros(3)
    state |= {"temperature": torch.ones(()), "to_text_latent_extra.weight": torch.zeros(2, 2)}
    return state | {"text_transformer.pooler.dense.bias": torch.zeros(2)}


@pytest.fixture(scope="module")
def network():
    kept, text = split_published(published(SIZES))
    assert list(text) == ["pooler.dense.bias"]
    assert sizes_of(kept, **KNOWN) == SIZES
    network = CTClip(SIZES)
    load_strictly(network, kept, source="published")
    return network


def test_embeddings_are_of_length_one_and_of_this_ct(network):
    first, second = torch.randn(2, *SIZES.shape, generator=torch.Generator().manual_seed(1))
    found = network.embed_image(first)
    assert found.shape == (SIZES.latent,)
    assert float(found.norm()) == pytest.approx(1)
    assert not torch.allclose(found, network.embed_image(second))
    text = network.embed_text(torch.arange(10.0))
    torch.testing.assert_close(text, functional.normalize(network.to_text_latent.weight @ torch.arange(10.0), dim=0))


def test_tokens_are_replaced_by_the_nearest_word(network):
    words = network.visual_transformer.vq["_codebook"].embed[0]
    found = network.visual_transformer(torch.randn(SIZES.shape))
    assert found.shape == (4, 9, SIZES.width)
    assert (found[..., None, :] == words).all(-1).any(-1).all()


def test_attention_is_of_the_formula(network):
    attention = network.visual_transformer.enc_temporal_transformer.layers[0]["1"]
    x, bias = torch.randn(2, 5, SIZES.width), torch.randn(SIZES.heads, 5, 5)
    normed = functional.layer_norm(x, x.shape[-1:], attention.norm.gamma, attention.norm.beta)
    q, (k, v) = attention.to_q(normed), attention.to_kv(x).chunk(2, dim=-1)  # keys and values of what is not normed
    out = []
    for head in range(SIZES.heads):
        part = slice(head * SIZES.head_width, (head + 1) * SIZES.head_width)
        unit = [functional.normalize(one[..., part], dim=-1) for one in (q, k)]
        cosines = (unit[0] * attention.q_scale) @ (unit[1] * attention.k_scale).transpose(1, 2)
        out.append((8 * cosines + bias[head]).softmax(-1) @ v[..., part])
    torch.testing.assert_close(attention(x, bias), attention.to_out(torch.cat(out, -1)), rtol=1e-4, atol=1e-5)


def test_the_bias_is_of_the_distance_alone(network):
    bias = network.visual_transformer.spatial_rel_pos_bias(3, 3).detach().numpy()
    steps = bias.reshape(SIZES.heads, 3, 3, 3, 3)
    np.testing.assert_allclose(steps[:, 0, 0, 1, 2], steps[:, 1, 0, 2, 2], rtol=1e-5)
    assert not np.allclose(steps[:, 0, 0, 1, 2], steps[:, 1, 2, 0, 0])


def test_the_published_network_has_the_published_sizes():
    with torch.device("meta"):
        network = CTClip(Sizes())
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["visual_transformer.to_patch_emb.2.weight"] == (512, 4000)
    assert shapes["visual_transformer.enc_spatial_transformer.layers.3.3.1.weight"] == (2730, 512)
    assert shapes["to_visual_latent.weight"] == (512, 294912)


def test_a_tensor_that_is_missing_or_unknown_is_named():
    state = published(SIZES)
    del state["visual_transformer.enc_spatial_transformer.layers.1.1.q_scale"]
    state["visual_transformer.discr.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError, match="q_scale"):
        load_strictly(CTClip(SIZES), split_published(state)[0], source="cut")
