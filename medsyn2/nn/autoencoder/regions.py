"""Regions of a volume as regions of its latents."""

import torch

from medsyn2.nn.autoencoder.tokenizer import SCALE, CausalVideoVAE
from medsyn2.types import Bool


def latent_region(tokenizer: CausalVideoVAE, inside: Bool[torch.Tensor, "d h w"]) -> Bool[torch.Tensor, "ld lh lw"]:
    """Return the latents whose block of voxels a region reaches into.

    Raises:
        ConfigError: If the tokenizer cannot compress a volume of this shape.
    """
    depth, height, width = tokenizer.latent_shape(inside.shape)
    lead = depth * SCALE[0] - len(inside)  # a first frame is the last slice of its latent
    padded = torch.cat((inside.new_zeros(lead, *inside.shape[1:]), inside))
    blocks = padded.view(depth, SCALE[0], height, SCALE[1], width, SCALE[2])
    return blocks.any(dim=5).any(dim=3).any(dim=1)
