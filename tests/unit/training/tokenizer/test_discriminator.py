import torch

from medsyn2.training.tokenizer.discriminator import make_discriminator


def test_has_upstreams_size_at_three_channels():
    assert sum(p.numel() for p in make_discriminator(3).parameters()) == 4_665_729


def test_judges_patches_of_4_by_8_by_8_voxels():
    with torch.device("meta"):
        judgements = make_discriminator()(torch.empty(1, 1, 96, 96, 96))[-1]
    assert judgements.shape == (1, 1, 24, 12, 12)
