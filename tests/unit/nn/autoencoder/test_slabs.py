import pytest
import torch

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder.slabs import has_planar_levels, moments_in_slabs
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE


def network(**settings: object) -> CausalVideoVAE:
    torch.manual_seed(0)
    return CausalVideoVAE(**{"hidden_channels": 8, "num_res_blocks": 1, "norm_groups": 4, **settings}).eval()


@pytest.mark.parametrize("layout", ["v1.2", "v1.1", "subvoxel"])
@pytest.mark.parametrize("depth_mode", ["uniform_aligned", "uniform_paper", "first_frame"])
@pytest.mark.parametrize("slab", [2, 6, 16, 64])
@torch.no_grad()
def test_it_is_the_plain_encoder(layout, depth_mode, slab):
    tokenizer = network(layout=layout, depth_mode=depth_mode).double()
    ct = torch.randn(2, 1, 37 if depth_mode == "first_frame" else 36, 24, 16, dtype=torch.float64)
    ours = moments_in_slabs(tokenizer, ct, slab)
    torch.testing.assert_close(ours, tokenizer.moments(ct), rtol=0, atol=1e-13)


@torch.no_grad()
def test_it_differs_by_rounding_alone_in_single_precision():
    tokenizer = network(hidden_channels=32, num_res_blocks=2, norm_groups=32)
    ct = torch.randn(1, 1, 20, 32, 32)
    torch.testing.assert_close(moments_in_slabs(tokenizer, ct, 4), tokenizer.moments(ct), rtol=0, atol=2e-5)


@torch.no_grad()
def test_a_slab_of_the_whole_volume_is_the_plain_encoder_to_the_last_bit():
    tokenizer, ct = network(), torch.randn(1, 1, 20, 32, 32)
    assert torch.equal(moments_in_slabs(tokenizer, ct, 32), tokenizer.moments(ct))


def test_gradients_are_those_of_the_plain_encoder():
    tokenizer = network().double()
    ct = torch.randn(1, 1, 12, 16, 16, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(moments_in_slabs(tokenizer, ct, 4).square().sum(), ct)
    (theirs,) = torch.autograd.grad(tokenizer.moments(ct).square().sum(), ct)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("slab", [0, 1, 7])
def test_slabs_that_would_not_halve_are_refused(slab):
    with pytest.raises(ConfigError, match="slab-invalid"):
        moments_in_slabs(network(), torch.zeros(1, 1, 16, 16, 16), slab)


def test_a_layout_without_planar_levels_is_refused():
    official = network(layout="official", depth_mode="uniform_paper")
    assert not has_planar_levels(official)
    with pytest.raises(ConfigError, match=r"0 planar levels.*encode_latents\.window"):
        moments_in_slabs(official, torch.zeros(1, 1, 16, 16, 16))


def test_an_impossible_shape_is_refused():
    with pytest.raises(ConfigError, match="tokenizer-shape"):
        moments_in_slabs(network(), torch.zeros(1, 1, 18, 16, 16))
