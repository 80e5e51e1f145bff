"""At the start latents are coefficients of their blocks, volumes come back blurred, and every weight can learn."""

import pytest
import torch
from torch.nn import functional

from medsyn2.nn.autoencoder.start import LOG_VARIANCE, start_from_walsh
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE


def make_initial(layout: str = "v1.2", latent_channels: int = 4) -> CausalVideoVAE:
    """A small tokenizer at its start."""
    tokenizer = CausalVideoVAE(8, num_res_blocks=1, norm_groups=1, latent_channels=latent_channels, layout=layout)
    start_from_walsh(tokenizer, torch.Generator().manual_seed(0))
    return tokenizer


@pytest.mark.parametrize("layout", ["v1.2", "v1.1", "subvoxel"])
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


@pytest.mark.parametrize(
    ("changes", "rank"),
    [((0, 0, 0), 0), ((0, 0, 1), 1), ((0, 1, 0), 2), ((1, 0, 0), 6), ((0, 1, 1), 3), ((1, 1, 1), 11)],
)
def test_a_block_that_is_one_walsh_function_is_one_latent(changes: tuple[int, int, int], rank: int) -> None:
    tokenizer = make_initial(latent_channels=16)
    depth, height, width = (
        torch.tensor([1.0, -1.0 if change else 1.0]).repeat_interleave(length // 2)
        for change, length in zip(changes, (4, 8, 8), strict=True)
    )
    block = depth[:, None, None] * height[:, None] * width
    latents = tokenizer.encode(block.repeat(2, 3, 3)[None, None]).mean.abs().amax(dim=(0, 2, 3, 4))
    assert int(latents.argmax()) == rank
    assert latents[rank] > 1
    assert (latents > 1e-3 * latents[rank]).sum() == 1


def test_a_smooth_volume_comes_back_blurred() -> None:
    coarse = torch.randn(1, 1, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    volume = functional.interpolate(coarse, size=(16, 48, 48), mode="trilinear", align_corners=True)
    tokenizer = make_initial()
    back = tokenizer.decode(tokenizer.encode(volume).mode())
    assert torch.corrcoef(torch.stack([back.flatten(), volume.flatten()]))[0, 1] > 0.8


def test_blocks_of_the_lowest_walsh_functions_come_back_whole_where_the_decoder_has_subvoxels() -> None:
    """Three changes of sign along an axis are beyond the lowest 16; up to one along each is within."""
    halves = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))  # a value for each half of a block
    volume = halves.repeat_interleave(2, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    for layout, similar in (("subvoxel", True), ("v1.2", False)):
        tokenizer = make_initial(layout, latent_channels=16)
        back = tokenizer.decode(tokenizer.encode(volume).mode())
        correlation = torch.corrcoef(torch.stack([back.flatten(), volume.flatten()]))[0, 1]
        assert (correlation > 0.999) == similar, (layout, correlation)


def test_start_depends_on_the_generator_alone() -> None:
    torch.manual_seed(5)
    first = make_initial().state_dict()
    torch.manual_seed(6)
    assert all(torch.equal(tensor, first[name]) for name, tensor in make_initial().state_dict().items())


@pytest.mark.parametrize("layout", ["v1.2", "subvoxel"])
def test_two_updates_reach_every_weight(layout: str) -> None:
    tokenizer = make_initial(layout)
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
