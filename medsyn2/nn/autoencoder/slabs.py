"""Exact encoding of a whole volume, slab by slab, with less memory.

In the layouts v1.1 and v1.2 the first two levels of the encoder, which hold the large tensors, work on single slices,
normalisation included; only the kernel that halves depth at the end of the second sees earlier slices. They run on
slabs, each given the last slices of its predecessor; the result, an eighth in each plane and half in depth, passes
the remaining levels at once. Nothing is approximated or computed twice. Results are bit-identical wherever the library
uses the same kernel for a slab as for a volume, as oneDNN does for planes of 96 x 96 at 128 channels; for small planes
its choice depends on the number of slices, and the last digits differ.

The authors' layout normalises over the whole volume from the first level, so it cannot be encoded in slabs.
"""

import torch
from torch import Tensor

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder.resampling import DepthMixDown, VolumeDown
from medsyn2.nn.autoencoder.tokenizer import IMAGE_CHANNELS, CausalVideoVAE, EncoderLevel
from medsyn2.types import Float

SLAB = 16
"""Slices per slab; larger slabs take more memory and gain little."""


def has_planar_levels(tokenizer: CausalVideoVAE) -> bool:
    """Say whether the layout can be encoded in slabs."""
    return tokenizer.encoder.planar_levels > 0


def moments_in_slabs(
    tokenizer: CausalVideoVAE, ct: Float[Tensor, "b 1 d h w"], slab: int = SLAB
) -> Float[Tensor, "b two_z ld lh lw"]:
    """Compute `CausalVideoVAE.moments` without its large tensors.

    Args:
        ct: Images in [-1, 1], or masks at -0.5 and 0.5.
        slab: Slices per slab; even, so that slabs halve evenly.

    Raises:
        ConfigError: If the layout has no planar levels, the slab is odd or below 2, or the tokenizer cannot compress
            the volume's shape.
    """
    if not has_planar_levels(tokenizer) or slab < 2 or slab % 2:
        raise ConfigError(
            f"Encoding in slabs takes an even number of slices and a layout with planar levels (v1.1, v1.2), got "
            f"{slab} slices and {tokenizer.encoder.planar_levels} planar levels.",
            code="slab-invalid",
            remedy="encode in windows instead (encode_latents.window).",
        )
    tokenizer.latent_shape(ct.shape[2:])
    encoder = tokenizer.encoder
    *shallow, last = encoder.down[: encoder.planar_levels]
    assert isinstance(last, EncoderLevel)
    halved, before = [], None
    for piece in ct.split(slab, dim=2):
        x = encoder.conv_in(piece.expand(-1, IMAGE_CHANNELS, -1, -1, -1))
        for level in shallow:
            x = level(x)
        x, halve = _until_depth_is_halved(last, x)
        halved.append(halve(x, before))
        before = x[:, :, -halve.front_pad :].clone()  # a view would keep the whole slab
    return tokenizer.moments_of(encoder.deep(torch.cat(halved, dim=2), encoder.planar_levels))


def _until_depth_is_halved(level: EncoderLevel, x: Tensor) -> tuple[Tensor, VolumeDown | DepthMixDown]:
    for block in level.block:
        x = block(x)
    if isinstance(level.downsample, VolumeDown):
        return x, level.downsample
    assert level.downsample is not None
    assert isinstance(level.time_downsample, DepthMixDown)
    return level.downsample(x), level.time_downsample
