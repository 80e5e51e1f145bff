"""The authors' network, against figures that it gave and against a second reading of it.

``tests/golden/dit_official.npz`` holds outputs of batmanlab/MedSynV2 at 5be924c, unmodified, on the CPU in
float32 (flash attention replaced by torch's): width 96, 2 blocks, 4 heads, text width 48, latents of
6 x 8 x 8, with weights from the recipe in `make_release`. ``dit_official_keys.json`` has names and shapes of the
released state dict. The recipe's grid is square in the plane, so a second reading, written from a table of
facts and by the authors' names, stands in for the axes of a grid that is not.
"""

import json
import zlib
from math import prod, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medsyn2.errors import WeightsError
from medsyn2.flow.sampling import Sampling
from medsyn2.flow.solvers import solve
from medsyn2.nn.transformer.conditioning import Conditioning
from medsyn2.nn.transformer.dit import DiT
from medsyn2.nn.transformer.layers import positions, time_frequencies
from medsyn2.nn.transformer.official_weights import load_official

GOLDEN = Path(__file__).parents[3] / "golden"
SHAPES = {
    name: tuple(shape) for name, shape in json.loads((GOLDEN / "dit_official_keys.json").read_text("utf-8")).items()
}
ATOL = {"atol": 5e-5, "rtol": 0.0}


def make_release(width, depth, text_width, grid, prefix=""):
    """Return a state dict of a small release, with weights that depend on their names alone."""
    sizes = {1152: width, 768: text_width, 4608: 4 * width, 2304: 2 * width, 10368: 9 * width}
    state = {}
    for long, full in SHAPES.items():
        name = long.removeprefix("denoise_fn.")
        if name in ("betas", "pos_embed") or (name[:7] == "blocks." and int(name.split(".")[1]) >= depth):
            continue
        shape = tuple(sizes.get(size, size) for size in full)
        r = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF).standard_normal(shape)
        r = 0.1 * r if r.ndim == 1 else r / sqrt(prod(shape[1:]))
        state[prefix + name] = torch.from_numpy(r.astype(np.float32))
    state[f"{prefix}pos_embed"] = positions(grid, width, torch.device("cpu"))[None]
    return state


def build(state, num_heads, grid) -> DiT:
    weights = load_official(state, num_heads=num_heads, grid=grid)
    network = DiT(**weights.config)
    network.load_state_dict(weights.state, strict=True)
    return network.eval()


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "dit_official.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def network():
    return build(make_release(96, 2, 48, (3, 4, 4), prefix="denoise_fn."), 4, (3, 4, 4))


@pytest.fixture(scope="module")
def t(golden):
    """Their time is 1000 tau, with tau = 0 for noise; ours is 1 - tau."""
    return 1 - golden["t_model"] / 1000


def test_the_released_network_has_its_parameters_names_and_shapes():
    with torch.device("meta"):
        state = {name: torch.empty(shape) for name, shape in SHAPES.items() if "pos_embed" not in name}
        network = DiT(
            latent_channels=4, text_width=768, width=1152, depth=16, num_heads=16, patch=(2, 2, 2), layout="official"
        )
    name = "denoise_fn.pos_embed"
    state[name] = positions((56, 28, 28), 1152, torch.device("cpu"))[None].half()
    assert tuple(state[name].shape) == SHAPES[name]
    weights = load_official(state)
    own = network.state_dict()
    assert sum(parameter.numel() for parameter in network.parameters()) == 585_756_320
    assert len(own) == 330
    assert {n: p.shape for n, p in weights.state.items()} == {n: p.shape for n, p in own.items()}
    assert weights.config == {
        "latent_channels": 4,
        "text_width": 768,
        "width": 1152,
        "depth": 16,
        "num_heads": 16,
        "patch": (2, 2, 2),
        "mlp_ratio": 4.0,
        "layout": "official",
    }


def test_positions_and_times_are_theirs(golden):
    torch.testing.assert_close(positions((3, 4, 4), 96, torch.device("cpu")), golden["pos_embed"][0], **ATOL)
    torch.testing.assert_close(time_frequencies(golden["t_model"] / 1000), golden["t_freq"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", ["mask", "nomask", "mask_text32"])
@torch.no_grad()
def test_outputs_are_theirs(case, golden, network, t):
    mask = golden["mask"] * (case != "nomask")
    text = golden["text"][:, :32] if case == "mask_text32" else golden["text"]
    torch.testing.assert_close(network(golden["x"], t, mask, text), golden[f"out_{case}_f32"], **ATOL)


@torch.no_grad()
def test_the_first_block_is_theirs(golden, network, t):
    seen = []
    with network.blocks[0].register_forward_hook(lambda _, __, output: seen.append(output)):
        network(golden["x"], t, golden["mask"], golden["text"])
    torch.testing.assert_close(seen[0], golden["block0_f32"], **ATOL)


@torch.no_grad()
def test_their_flow_is_minus_this_velocity(golden, network):
    tau = 0.37
    clean = network(golden["x"], torch.full((2,), 1 - tau), golden["mask"], golden["text"])
    torch.testing.assert_close((clean - golden["x"]) / (1 - tau), golden["flow_tau0.37"], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("points", [4, 50])
def test_whole_solutions_are_theirs(points, golden, network):
    """Their number counts the points of the grid, and the steps are one fewer."""
    seen = []
    predict = Conditioning(golden["mask"], golden["text"]).bind(network)

    def counting(z, t):
        seen.append(1000 * (1 - t[0].double().item()))
        return predict(z, t)

    solution = solve(counting, golden["ode_x0"], Sampling("warped_midpoint", points - 1, 1e-7))
    np.testing.assert_allclose(seen, golden[f"ode_tmodel_{points}"].numpy(), atol=2e-4)
    torch.testing.assert_close(solution, golden[f"ode_out_{points}"], **ATOL)


@torch.no_grad()
def test_axes_of_a_grid_that_is_not_cubic():
    grid, heads = (2, 4, 6), 2
    state = make_release(72, 3, 40, grid)
    generator = torch.Generator().manual_seed(777)
    x, mask = torch.randn(2, 1, 4, 4, 8, 12, generator=generator)
    text = torch.randn(1, 37, 40, generator=generator)
    ours = build(state, heads, grid)(x, torch.tensor([0.5]), mask, text)
    torch.testing.assert_close(ours, second_reading(state, heads, x, 500.0, mask, text), **ATOL)


@torch.no_grad()
def test_the_second_reading_is_theirs_too(golden):
    state = make_release(96, 2, 48, (3, 4, 4))
    outputs = [
        second_reading(state, 4, *(golden[name][i : i + 1] for name in ("x", "t_model", "mask", "text")))
        for i in range(2)
    ]
    torch.testing.assert_close(torch.cat(outputs), golden["out_mask_f32"], **ATOL)


def second_reading(state, heads, x, t_model, mask, text):
    """The network by the authors' names, for a batch of one, with explicit loops over axes and heads."""

    def linear(name, value):
        return F.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    def attend(q, k, v, gate, num):
        parts = [part.reshape(len(part), num, -1).unbind(1) for part in (q, k, v, gate)]
        outputs = []
        for qh, kh, vh, gh in zip(*parts, strict=True):
            outputs.append(torch.softmax(qh @ kh.T / sqrt(qh.shape[1]), dim=1) @ vh * torch.sigmoid(gh))
        return torch.stack(outputs, dim=1).flatten(1)

    def norm(value, shift, scale):
        return F.layer_norm(value, value.shape[-1:], eps=1e-6) * (1 + scale) + shift

    def convolve(value, depthwise, pointwise, shape):
        volume = value.T.reshape(1, -1, *shape)
        w, b = state[f"{depthwise}.weight"], state[f"{depthwise}.bias"]
        volume = F.conv3d(volume, w, b, padding=1, groups=len(w))
        volume = F.conv3d(volume, state[f"{pointwise}.weight"], state[f"{pointwise}.bias"])
        return volume.flatten(2)[0].T

    w, b = state["x_embedder.proj.weight"], state["x_embedder.proj.bias"]
    volume = F.conv3d(torch.cat((x, mask), 1), w, b, stride=2)
    shape = volume.shape[2:]
    h = volume.flatten(2)[0].T + state["pos_embed"][0]
    angle = torch.as_tensor(t_model) * torch.exp(-np.log(1e4) * torch.arange(128) / 128)
    features = torch.cat((angle.cos(), angle.sin()))
    time = F.silu(linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", features))))
    for i in range(len({name.split(".")[1] for name in state if name.startswith("blocks.")})):
        block = f"blocks.{i}"
        m = linear(f"{block}.adaLN_modulation.1", time).chunk(9)
        beside = convolve(
            h, f"{block}.conv.depthwise_conv.depthwise_conv", f"{block}.conv.pointwise_conv.pointwise_conv", shape
        )
        q, k, v, gate = linear(f"{block}.attn.qkv", norm(h, m[0], m[1])).chunk(4, 1)
        h = h + m[2] * linear(f"{block}.attn.proj", attend(q, k, v, gate, heads))
        q, gate = linear(f"{block}.cross_attn.q_linear", norm(h, m[6], m[7])).chunk(2, 1)
        k, v = linear(f"{block}.cross_attn.kv_linear", text[0]).chunk(2, 1)
        h = h + m[8] * linear(f"{block}.cross_attn.proj", attend(q, k, v, gate, 3 * heads))
        expanded = F.gelu(linear(f"{block}.mlp.fc1", norm(h, m[3], m[4])), approximate="tanh")
        h = h + m[5] * linear(f"{block}.mlp.fc2", expanded) + beside
    shift, scale = linear("final_layer.adaLN_modulation.1", time).chunk(2)
    tokens = linear("final_layer.linear", norm(h, shift, scale)).reshape(*shape, 2, 2, 2, 4)
    out = torch.zeros_like(x)
    for a in range(2):
        for p in range(2):
            for q in range(2):
                out[0, :, a::2, p::2, q::2] = tokens[:, :, :, a, p, q].movedim(-1, 0)
    return out


@pytest.mark.parametrize("prefix", ["", "denoise_fn.", "module.denoise_fn.", "_orig_mod."])
def test_wrappers_and_betas_do_not_matter(prefix):
    plain = load_official(make_release(24, 1, 8, (1, 2, 3)), num_heads=1, grid=(1, 2, 3))
    state = {**make_release(24, 1, 8, (1, 2, 3), prefix), "betas": torch.ones(1000)}
    wrapped = load_official(state, num_heads=1, grid=(1, 2, 3))
    assert wrapped.config == plain.config
    assert wrapped.state.keys() == plain.state.keys()
    assert all(torch.equal(wrapped.state[name], plain.state[name]) for name in plain.state)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s.pop("blocks.1.attn.qkv.bias"), "1 missing: blocks.1.attn.qkv.bias"),
        (lambda s: s.update(ema=torch.ones(1)), "1 unexpected: ema"),
        (lambda s: s.update({"blocks.0.attn.proj.bias": torch.ones(5)}), r"blocks.0.attn.proj.bias \(5,\) instead of"),
        (lambda s: s.pop("x_embedder.proj.weight"), "rank: x_embedder.proj.weight"),
        (lambda s: s.pop("pos_embed"), "1 missing: pos_embed"),
        (lambda s: s["pos_embed"].mul_(1.01), "pos_embed differs by 0.01"),
        (lambda s: s["pos_embed"].mul_(torch.nan), "pos_embed differs by nan"),
        (lambda s: s.clear(), "missing"),
    ],
)
def test_what_is_wrong_is_named_as_the_authors_name_it(change, named):
    state = make_release(24, 2, 8, (1, 2, 3))
    change(state)
    with pytest.raises(WeightsError, match=named):
        load_official(state, num_heads=1, grid=(1, 2, 3))


def test_positions_of_another_grid_are_refused():
    with pytest.raises(WeightsError, match=r"pos_embed differs by .* \(3, 2, 1\) tokens"):
        load_official(make_release(24, 1, 8, (1, 2, 3)), num_heads=1, grid=(3, 2, 1))


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(WeightsError, match="width 24 does not divide by 3 x 5 heads"):
        load_official(make_release(24, 1, 8, (1, 2, 3)), num_heads=5, grid=(1, 2, 3))


def test_nothing_is_lost_in_half_precision():
    state = {name: tensor.half() for name, tensor in make_release(24, 1, 8, (1, 2, 3)).items()}
    weights = load_official(state, num_heads=1, grid=(1, 2, 3))
    assert {tensor.dtype for tensor in weights.state.values()} == {torch.float16}
