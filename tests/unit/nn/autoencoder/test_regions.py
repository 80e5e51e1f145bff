"""Voxels and the latents that they lie in, with a first frame and without."""

import pytest
import torch

from medsyn2.nn.autoencoder.regions import latent_region
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE


@pytest.mark.parametrize(
    ("depth_mode", "depth", "voxel", "latent"),
    [
        ("uniform_aligned", 8, (4, 7, 16), (1, 0, 2)),
        ("uniform_aligned", 8, (3, 8, 15), (0, 1, 1)),
        ("first_frame", 9, (0, 0, 0), (0, 0, 0)),
        ("first_frame", 9, (1, 0, 0), (1, 0, 0)),
        ("first_frame", 9, (8, 15, 23), (2, 1, 2)),
    ],
)
def test_a_voxel_lies_in_its_latent(depth_mode, depth, voxel, latent):
    tokenizer = CausalVideoVAE(4, (1, 1, 1, 1), 1, norm_groups=2, depth_mode=depth_mode)
    inside = torch.zeros(depth, 16, 24, dtype=torch.bool)
    inside[voxel] = True
    found = latent_region(tokenizer, inside)
    assert found.shape == tokenizer.latent_shape(inside.shape)
    assert found.nonzero().tolist() == [list(latent)]
