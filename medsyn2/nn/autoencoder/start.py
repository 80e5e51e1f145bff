"""Initialisation of a tokenizer trained from scratch.

With PyTorch's initialisation an autoencoder of this depth passes almost no signal, and hundreds of steps are spent on
learning that neighbouring voxels are alike. Here it starts as a blur: residual branches add zero, steps down average,
steps up repeat, and the convolutions at the ends mix at random. The posterior starts narrow, because noise would hide
the little that the latents carry.
"""

import torch
from torch import nn

from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE

LOG_VARIANCE = -6.0


@torch.no_grad()
def start_as_blur(tokenizer: CausalVideoVAE, generator: torch.Generator) -> None:
    """Set the weights of an untrained tokenizer to those of a blur."""
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
    """Average the two voxels per axis that a stride of 2 merges; padding in depth is in front."""
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
