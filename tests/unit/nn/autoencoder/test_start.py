"""The start is a blur: smooth volumes already come back like themselves, and every weight can learn."""

import pytest
import torch
from torch.nn import functional

from medsyn2.nn.autoencoder.start import LOG_VARIANCE, start_as_blur
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE


def make_initial(layout: str = "v1.2") -> CausalVideoVAE:
    """A small tokenizer at its start."""
    tokenizer = CausalVideoVAE(hidden_channels=8, num_res_blocks=1, norm_groups=1, layout=layout)
    start_as_blur(tokenizer, torch.Generator().manual_seed(0))
    return tokenizer


@pytest.mark.parametrize("layout", ["v1.2", "v1.1"])
def test_residual_branches_add_nothing_and_the_posterior_is_narrow(layout: str) -> None:
    tokenizer = make_initial(layout)
    posterior = tokenizer.encode(torch.randn(1, 1, 8, 16, 16))
    assert torch.all(posterior.logvar == LOG_VARIANCE)
    assert all(not weight.any() for name, weight in tokenizer.named_parameters() if name.endswith("conv2.conv.weight"))


def test_latents_of_a_smooth_volume_vary_with_it() -> None:
    coarse = torch.randn(1, 1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    volume = functional.interpolate(coarse, size=(16, 32, 32), mode="trilinear", align_corners=True)
    small = functional.interpolate(volume, size=(4, 4, 4), mode="area").flatten()
    latents = make_initial().encode(volume).mean[0].flatten(1)
    inputs = torch.cat([latents, torch.ones(1, latents.shape[1])]).T
    residual = small - inputs @ torch.linalg.lstsq(inputs, small[:, None]).solution[:, 0]
    assert residual.var() < 0.55 * small.var()


def test_start_depends_on_the_generator_alone() -> None:
    torch.manual_seed(5)
    first = make_initial().state_dict()
    torch.manual_seed(6)
    assert all(torch.equal(tensor, first[name]) for name, tensor in make_initial().state_dict().items())


def test_two_updates_reach_every_weight() -> None:
    tokenizer = make_initial()
    before = {name: tensor.clone() for name, tensor in tokenizer.named_parameters()}
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=1e-2)
    volume = torch.randn(1, 1, 8, 16, 16)
    for _ in range(3):
        optimizer.zero_grad()
        latents = tokenizer.encode(volume).sample(torch.Generator().manual_seed(0))
        (tokenizer.decode(latents) - volume).abs().mean().backward()
        optimizer.step()
    still = [name for name, tensor in tokenizer.named_parameters() if torch.equal(tensor, before[name])]
    assert still == []
