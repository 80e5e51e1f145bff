"""The U-Net's sizes, and what its skips and normalisation do."""

import pytest
import torch

from medsyn2.evaluation.augmentation.unet2d import UNet2d


@pytest.mark.parametrize(("channels", "num_levels"), [(4, 1), (4, 3), (8, 4)])
def test_logits_have_the_slice_s_size_and_all_weights_learn(channels: int, num_levels: int) -> None:
    network = UNet2d(channels, num_levels)
    logits = network(torch.randn(2, 1, 24, 32))
    assert logits.shape == (2, 1, 24, 32)
    logits.square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_the_original_s_number_of_weights() -> None:
    """The U-Net of five levels and 64 channels has 31.0 million weights; ours has norms in place of biases."""
    assert sum(parameter.numel() for parameter in UNet2d(64, 5).parameters()) == pytest.approx(
        31.03e6, rel=1e-3
    )


def test_slices_of_a_batch_are_alone() -> None:
    network = UNet2d(4, 3).eval()
    batch = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(network(batch)[1:2], network(batch[1:2]))
