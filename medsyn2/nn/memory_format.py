"""Memory layout of convolution weights.

oneDNN computes convolutions of few channels up to three times as fast in channels-last order. Converting the weights
is enough: oneDNN reorders the input and keeps the order in the output. Values and shapes do not change, the order of
summation does.
"""

import torch
from torch import nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def move(network: nn.Module, device: torch.device) -> None:
    """Move the network to `device`, and on a CPU store the weights of its convolutions channels last.

    On GPUs the order is unchanged, as it has not been measured there.
    """
    network.to(device)
    for weight in network.parameters():
        if device.type == "cpu" and weight.ndim in FORMATS:
            weight.data = weight.data.contiguous(memory_format=FORMATS[weight.ndim])
