"""The voxels of the latents that a mask is about, and how much more the loss counts there.

A nodule covers a few hundredths of a percent of a volume. In a mean over all voxels its error is next to nothing, and a
training ends before the network has learnt to answer such a mask. A share of the loss can therefore be the mean inside
the region of the mask that a sample is conditioned on, whatever its size. The weights depend on the conditions alone,
so that the best prediction, the mean of the clean latents given noise and conditions, stays what it is.

MAISI's ControlNet weights its loss at tumours in the same way (``weighted_loss``, by a factor and not by a share).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LEAST_DIFFERENCE = 0.1
"""Of the largest difference from the empty mask's latents, below which a voxel does not belong to the mask: the
normalisation in the encoder lets a mask change all latents a little."""


def mask_region(mask: Float[Tensor, "z ld lh lw"], empty: Float[Tensor, "z ld lh lw"]) -> Bool[Tensor, "ld lh lw"]:
    """Return the voxels in which the latents of a mask differ from those of the empty mask; none if they are equal."""
    difference = (mask.float() - empty.float()).square().sum(dim=0).sqrt()
    return (difference > LEAST_DIFFERENCE * difference.max()) & (difference > 0)


def loss_weights(region: Bool[Tensor, "ld lh lw"], share: float) -> Float[Tensor, "1 ld lh lw"]:
    """Return weights of mean 1 with which the mean inside the region makes a share of the loss; ones without a region.

    Args:
        share: From 0, where all voxels count alike, to below 1.
    """
    inside = region.float()[None]
    if not region.any():
        return torch.ones_like(inside)
    return (1 - share) + share * inside / inside.mean()
