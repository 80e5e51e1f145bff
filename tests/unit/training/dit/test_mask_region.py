"""The region of a mask in the latents, and the share of the loss that it has."""

import pytest
import torch

from medsyn2.flow.path import velocity_loss
from medsyn2.training.dit.mask_region import loss_weights, mask_region
from medsyn2.weights.bundled import bundled_model
from medsyn2.weights.model_folder import TOKENIZER
from medsyn2.weights.networks import load_tokenizer


def test_the_region_is_where_the_mask_is():
    tokenizer = load_tokenizer(bundled_model() / TOKENIZER)
    mask = torch.zeros(1, 1, 32, 64, 64)
    mask[..., 8:16, 16:32, 40:48] = 1
    with torch.no_grad():
        drawn, empty = (tokenizer.encode(volume - 0.5).mean[0] for volume in (mask, torch.zeros_like(mask)))
    region = mask_region(drawn, empty)
    inside = torch.nn.functional.max_pool3d(mask, (4, 8, 8))[0, 0] > 0
    assert region[inside].all()
    # The convolutions look a little beyond the mask.
    near = torch.nn.functional.max_pool3d(inside[None].float(), 5, 1, 2)[0] > 0
    assert not region[~near].any()


def test_an_empty_mask_has_no_region_and_leaves_the_loss_as_it_is():
    latents = torch.randn(3, 2, 4, 4)
    region = mask_region(latents, latents)
    assert not region.any()
    assert torch.equal(loss_weights(region, 0.5), torch.ones(1, 2, 4, 4))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_loss_is_a_share_of_the_mean_inside_and_one_of_the_mean_of_all(share: float):
    predicted, clean = torch.randn(2, 1, 3, 2, 4, 4, dtype=torch.float64)
    region = torch.rand(2, 4, 4) < 0.2
    weights = loss_weights(region, share)[None]
    assert weights.mean() == pytest.approx(1)
    loss = velocity_loss(predicted, clean, torch.ones(1), 0.1, weights)
    squared_error = (predicted - clean).float().square()
    expected = (1 - share) * squared_error.mean() + share * squared_error[..., region].mean()
    torch.testing.assert_close(loss[0], expected)
