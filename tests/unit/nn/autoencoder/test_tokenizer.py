"""The tokenizer against figures of the published networks, and against what its depth modes promise.

``tests/golden/tokenizer.npz`` holds float64 outputs of Open-Sora Plan's v1.2.0 network (``v12_*``, modes
upstream, paper and aligned at 16 or 17 slices) and of the network in batmanlab/MedSynV2 at 5be924c
(``official_*``), both at 32 channels and with weights from the recipe in `fill_weights`; of the volumes every
fourth or sixth slice.
"""

import copy
import json
import zlib
from math import prod, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder import blocks
from medsyn2.nn.autoencoder.layouts import LAYOUTS
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE, Posterior
from medsyn2.nn.device import order_weights

GOLDEN = Path(__file__).parents[3] / "golden"
TINY = {"hidden_channels": 8, "num_res_blocks": 1, "norm_groups": 4}
MODES = {"upstream": "first_frame", "paper": "uniform_paper", "aligned": "uniform_aligned"}


def fill_weights(network: CausalVideoVAE, dtype: type = np.float64) -> CausalVideoVAE:
    """Return `network` in float64 with weights that depend on their names alone."""
    state = {}
    for name, tensor in network.state_dict().items():
        r = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF).standard_normal(tuple(tensor.shape))
        if name.endswith("mix_factor"):
            r = 0.5 + 0.1 * r
        elif r.ndim == 1:
            r = 0.1 * r + (1.0 if name.endswith("weight") else 0.0)
        else:
            r = r / sqrt(prod(r.shape[1:]))
        state[name] = torch.from_numpy(np.asarray(r, dtype))
    network.double().load_state_dict(state)
    return network


def tiny(**settings: object) -> CausalVideoVAE:
    torch.manual_seed(0)
    return CausalVideoVAE(**{**TINY, **settings})


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / "tokenizer.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.mark.parametrize(
    ("layout", "depth_mode", "count"),
    [
        ("v1.2", "uniform_aligned", 239_189_991),
        ("v1.2", "first_frame", 239_189_991),
        ("v1.1", "uniform_aligned", 246_859_499),
        ("official", "uniform_paper", 223_860_199),
    ],
)
def test_public_weights_fit(layout, depth_mode, count):
    with torch.device("meta"):
        network = CausalVideoVAE(depth_mode=depth_mode, layout=layout)
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == json.loads((GOLDEN / "tokenizer_keys.json").read_text("utf-8"))["shapes"][layout]
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(("mode", "depth"), [("upstream", 17), ("upstream", 16), ("paper", 16), ("aligned", 16)])
@torch.no_grad()
def test_equals_upstream(golden, mode, depth):
    network = fill_weights(CausalVideoVAE(32, depth_mode=MODES[mode]))
    images = 0.5 * np.random.RandomState(123).standard_normal((1, 3, depth, 16, 16))
    moments = network.quant_conv(network.encoder(torch.from_numpy(images)))
    volume = network.decoder(network.post_quant_conv(moments[:, :4]))
    torch.testing.assert_close(moments, golden[f"v12_{mode}_{depth}_moments"], rtol=0, atol=1e-10)
    torch.testing.assert_close(volume[:, :, ::4], golden[f"v12_{mode}_{depth}_recon"], rtol=0, atol=1e-10)


@torch.no_grad()
def test_equals_the_authors_network(golden):
    network = fill_weights(CausalVideoVAE(32, depth_mode="uniform_paper", layout="official"), np.float32)
    draws = np.random.RandomState(4242)
    first, latents, second = (
        torch.from_numpy(draws.standard_normal(shape)).float().double()
        for shape in [(1, 3, 16, 32, 24), (1, 4, 4, 4, 3), (1, 3, 20, 16, 16)]
    )
    posterior = Posterior.from_moments(network.quant_conv(network.encoder(first.clamp(-1, 1))))
    torch.testing.assert_close(posterior.mean, golden["official_mean"], rtol=0, atol=1e-10)
    torch.testing.assert_close(posterior.logvar, golden["official_logvar"], rtol=0, atol=1e-10)
    moments = network.quant_conv(network.encoder(second.clamp(-1, 1)))
    torch.testing.assert_close(moments[:, :4], golden["official_mean_2"], rtol=0, atol=1e-10)
    volume = network.decoder(network.post_quant_conv(latents))
    torch.testing.assert_close(volume[:, :, ::6], golden["official_recon"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("layout", ["v1.2", "v1.1", "subvoxel"])
@pytest.mark.parametrize("depth_mode", list(MODES.values()))
@pytest.mark.parametrize("latents", [1, 2, 5])
@torch.no_grad()
def test_a_volume_comes_back_in_its_shape(layout, depth_mode, latents):
    network = tiny(depth_mode=depth_mode, layout=layout)
    depth = 4 * latents - 3 if depth_mode == "first_frame" else 4 * latents
    posterior = network.encode(torch.rand(2, 1, depth, 24, 8))
    assert posterior.mean.shape == posterior.logvar.shape == (2, 4, latents, 3, 1)
    assert network.latent_shape((depth, 24, 8)) == (latents, 3, 1)
    assert network.volume_shape((latents, 3, 1)) == (depth, 24, 8)
    assert network.decode(posterior.mode()).shape == (2, 1, depth, 24, 8)


@pytest.mark.parametrize(
    ("depth_mode", "shape"),
    [
        ("uniform_aligned", (17, 16, 16)),
        ("uniform_paper", (18, 16, 16)),
        ("first_frame", (16, 16, 16)),
        ("uniform_aligned", (16, 12, 16)),
        ("uniform_aligned", (16, 16, 0)),
    ],
)
def test_a_shape_that_would_change_is_refused(depth_mode, shape):
    with pytest.raises(ConfigError, match=r"tokenizer-shape.*grid\.shape"):
        tiny(depth_mode=depth_mode).encode(torch.zeros(1, 1, *shape))


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="norm_groups must divide"):
        CausalVideoVAE(8, norm_groups=16)
    with pytest.raises(ConfigError, match="uniform_paper"):
        CausalVideoVAE(8, norm_groups=4, layout="official")


def test_too_few_channels_for_subvoxels_are_refused():
    with pytest.raises(ConfigError, match="tokenizer-narrow"):
        CausalVideoVAE(3, norm_groups=1, layout="subvoxel")


def remove_norms(network: CausalVideoVAE) -> CausalVideoVAE:
    """Remove normalisation and attention, which couple all voxels, from the network."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if name.startswith("norm") or name == "attn_1":
                setattr(module, name, torch.nn.Identity())
            assert child is not None
    return network


@pytest.mark.parametrize(
    ("depth_mode", "first_seen", "unseen"),
    [
        ("uniform_aligned", [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], 0),
        ("uniform_paper", [0, 1, 1, 1, 1, 2, 2, 2, 2], 3),
        ("first_frame", [0, 1, 1, 1, 1, 2, 2, 2, 2], 0),
    ],
)
def test_which_latent_sees_a_slice_first(depth_mode, first_seen, unseen):
    network = remove_norms(fill_weights(tiny(depth_mode=depth_mode)))
    ct = torch.randn(1, 1, len(first_seen) + unseen, 8, 8, dtype=torch.float64, requires_grad=True)
    mean = network.encode(ct).mean
    seen = torch.stack(
        [torch.autograd.grad(mean[:, :, j].sum(), ct, retain_graph=True)[0].abs().amax((0, 1, 3, 4)) for j in range(3)]
    )
    for index, latent in enumerate(first_seen):
        assert (seen[:latent, index] == 0).all()
        assert (seen[latent:, index] > 0).all()
    assert (seen[:, len(first_seen) :] == 0).all()


@torch.no_grad()
def test_aligned_is_upstream_with_the_first_slice_twice():
    """Up to the repetition of the first slice: exact where the receptive field begins later."""
    aligned = remove_norms(fill_weights(tiny(depth_mode="uniform_aligned", num_res_blocks=1)))
    upstream = remove_norms(fill_weights(tiny(depth_mode="first_frame", num_res_blocks=1)))
    ct = torch.randn(1, 1, 96, 8, 8, dtype=torch.float64)
    ours = aligned.encode(ct).mean
    theirs = upstream.encode(torch.cat([ct[:, :, :1], ct], dim=2)).mean[:, :, 1:]
    torch.testing.assert_close(ours[:, :, -4:], theirs[:, :, -4:])
    assert not torch.allclose(ours[:, :, :1], theirs[:, :, :1])


@torch.no_grad()
def test_a_ct_is_repeated_in_and_averaged_out():
    network = fill_weights(tiny())
    ct = torch.randn(1, 1, 8, 16, 16, dtype=torch.float64)
    moments = network.quant_conv(network.encoder(ct.repeat(1, 3, 1, 1, 1)))
    torch.testing.assert_close(network.encode(ct).mean, moments[:, :4])
    volume = network.decoder(network.post_quant_conv(moments[:, :4]))
    torch.testing.assert_close(network.decode(moments[:, :4])[:, 0], volume.mean(1))


@torch.no_grad()
def test_samples_of_a_batch_do_not_mix():
    network = fill_weights(tiny())
    ct = torch.randn(3, 1, 8, 16, 16, dtype=torch.float64)
    both = network.decode(network.encode(ct).mode())
    alone = network.decode(network.encode(ct[1:2]).mode())
    torch.testing.assert_close(both[1:2], alone)


@pytest.mark.parametrize(
    ("layout", "depth_mode"),
    [
        ("v1.2", "uniform_aligned"),
        ("v1.1", "uniform_aligned"),
        ("official", "uniform_paper"),
        ("subvoxel", "uniform_aligned"),
    ],
)
def test_every_parameter_learns(layout, depth_mode):
    network = fill_weights(tiny(layout=layout, depth_mode=depth_mode))
    ct = torch.randn(1, 1, 8, 16, 16, dtype=torch.float64)
    reconstruction, moments = network(ct, torch.Generator().manual_seed(0))
    loss = (reconstruction - ct).abs().mean() + Posterior.from_moments(moments).kl().mean()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0 or name.endswith("k.conv.bias") or name.endswith("k.bias"), name


def test_autocast_leaves_the_last_layer_in_full_precision():
    network = tiny()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        volume = network.decode(torch.randn(1, 4, 2, 2, 2))
    assert volume.dtype == torch.float32
    assert (volume != volume.bfloat16()).any()


def test_posterior_is_a_gaussian():
    mean = torch.tensor([0.0, 1.0, -2.0]).view(1, 1, 1, 1, 3).double()
    logvar = torch.tensor([0.0, 0.5, -3.0]).view(1, 1, 1, 1, 3).double()
    posterior = Posterior(mean, logvar)
    normal = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(posterior.kl(), expected)
    many = Posterior(mean.expand(20_000, -1, -1, -1, -1), logvar.expand(20_000, -1, -1, -1, -1))
    draws = many.sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(0), mean[0], rtol=0, atol=0.03)
    torch.testing.assert_close(draws.var(0).log(), logvar[0], rtol=0, atol=0.03)
    assert posterior.mode() is mean


def test_a_seed_means_one_draw():
    posterior = Posterior(torch.zeros(1, 4, 2, 2, 2), torch.zeros(1, 4, 2, 2, 2))
    first, second = (posterior.sample(torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
    moments = torch.full((1, 2, 1, 1, 1), 100.0)
    assert Posterior.from_moments(moments).logvar.item() == 20.0


class CudnnOrder(TorchDispatchMode):
    """Convolutions return their output in the order that cuDNN's do, and `strays` counts those that transpose first.

    An output is channels last if the input or the kernel is, by PyTorch's ``cudnn_conv_suggest_memory_format``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.strays: list[tuple[int, ...]] = []
        self.calls = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if operation is not torch.ops.aten.convolution.default:
            return result
        ordered = [each.is_contiguous(memory_format=torch.channels_last_3d) for each in args[:2]]
        self.calls += 1
        if not ordered[0]:
            self.strays.append(tuple(args[0].shape))
        return result.contiguous(memory_format=torch.channels_last_3d) if any(ordered) else result


def test_channels_stay_last_from_convolution_to_convolution(monkeypatch):
    """As on a GPU: only the image and the four latent channels come in another order."""
    plain = tiny()
    ordered = copy.deepcopy(plain)
    order_weights(ordered, torch.device("cpu"))
    ct = torch.rand(1, 1, 8, 32, 32) * 2 - 1
    with torch.no_grad():
        moments = plain.moments(ct)
        expected = moments, plain.decode(moments[:, :4])
        monkeypatch.setitem(blocks.NORMALISATIONS, "cpu", blocks.NORMALISATIONS["cuda"])
        with CudnnOrder() as order:
            found = ordered.moments(ct), ordered.decode(moments[:, :4])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert order.calls > 50
    assert {shape[1] for shape in order.strays} <= {3, 4}
    assert len(order.strays) <= 3


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_bfloat16_is_close_with_the_normalisation_of_either_device(device, layout, monkeypatch):
    network = tiny(layout=layout, depth_mode="uniform_paper")
    monkeypatch.setitem(blocks.NORMALISATIONS, "cpu", blocks.NORMALISATIONS.get(device, torch.nn.functional.group_norm))
    ct = torch.rand(1, 1, 8, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = network.moments(ct)
        images = network.decode(expected[:, :4])
        with torch.autocast("cpu", torch.bfloat16):
            moments, low = network.moments(ct), network.decode(expected[:, :4])
    assert (moments - expected).norm() < 0.05 * expected.norm()
    assert (low - images).norm() < 0.05 * images.norm()
