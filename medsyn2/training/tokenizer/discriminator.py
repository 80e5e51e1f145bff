"""The discriminator of the tokenizer's adversarial loss: a 3-D PatchGAN.

Five convolutions of 3 x 3 x 3 with leaky ReLU and batch normalisation; 96 x 96 x 96 voxels become
24 x 12 x 12 judgements. It is MONAI's, except that the third convolution halves the plane alone, as upstream's does.
No public weights include one.

Source: Isola et al., arXiv:1611.07004; NLayerDiscriminator3D of Open-Sora Plan v1.2.0 (sizes read).
"""

from torch import nn

CHANNELS = 64
NUM_LAYERS = 3
PLANE_ONLY = (1, 2, 2)


def make_discriminator(image_channels: int = 1) -> nn.Module:
    """Return an untrained discriminator; the last element of its output list are the judgements."""
    from monai.networks.nets.patchgan_discriminator import PatchDiscriminator  # import takes seconds

    discriminator = PatchDiscriminator(
        spatial_dims=3, channels=CHANNELS, in_channels=image_channels, num_layers_d=NUM_LAYERS, kernel_size=3
    )
    third = discriminator.get_submodule("1.conv")
    assert isinstance(third, nn.Conv3d)
    third.stride = PLANE_ONLY
    return discriminator
