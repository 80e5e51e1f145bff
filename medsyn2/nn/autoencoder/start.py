"""Where a tokenizer's training from scratch starts.

With PyTorch's own initialisation an untrained autoencoder of this depth passes next to nothing, and its first
hundreds of steps go into finding out that neighbouring voxels are alike. Here it starts as a blurred copy: each
residual branch adds nothing, each step down averages, each step up repeats, and the convolutions at the ends
mix at random. The posterior starts narrow, because noise on the latents would hide the little that they carry.

Training from public weights never comes here.
"""

import torch
from torch import nn

from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE

LOG_VARIANCE = -6.0


@torch.no_grad()
def start_as_blur(tokenizer: CausalVideoVAE, generator: torch.Generator) -> None:
    """Set the weights of an untrained tokenizer to those of a blur.

    Args:
        tokenizer: The network; changed in place.
        generator: Source of the random mixing, on the CPU.
    """
    for name, module in tokenizer.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Conv3d):
            continue
        weight = module.weight
        if module.bias is not None:
            module.bias.zero_()
        if ".conv2" in name or ".proj_out" in name:
            weight.zero_()
        elif ".downsample" in name:
            _average(weight)
        elif ".upsample" in name:
            _repeat(weight)
        elif "quant_conv" in name:
            weight.copy_(torch.eye(len(weight)).reshape(weight.shape))
        else:
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(noise / weight[0].numel() ** 0.5)
    tokenizer.get_parameter("encoder.conv_out.conv.weight")[tokenizer.latent_channels :] = 0
    tokenizer.get_parameter("quant_conv.conv.bias")[tokenizer.latent_channels :] = LOG_VARIANCE


def _average(weight: torch.Tensor) -> None:
    """Average the two voxels an axis that a stride of two brings together; all but the last pad is in front."""
    channels = torch.arange(len(weight))
    weight.zero_()
    if weight.ndim == 5 and weight.shape[2] > 1:
        weight[channels, channels, 1:, :2, :2] = 1 / 8
    else:
        weight[channels, channels, ..., :2, :2] = 1 / 4


def _repeat(weight: torch.Tensor) -> None:
    channels = torch.arange(len(weight))
    weight.zero_()
    if weight.ndim == 5:
        weight[channels, channels, -1, 1, 1] = 1
    else:
        weight[channels, channels, 1, 1] = 1
