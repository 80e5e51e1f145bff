"""Where the channels of convolutions lie in memory.

oneDNN works through convolutions of few channels up to three times as fast where the channels of a voxel lie side by
side. It is enough that the weights do: the input is brought into the same order, and the output stays in it for what
comes next. Values and shapes are the same, the order of sums is not.
"""

import torch
from torch import nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def move(network: nn.Module, device: torch.device) -> None:
    """Move the network to `device`, and on a CPU lay the weights of its convolutions out channels last.

    On GPUs they stay as they are: nobody has measured which order is better there.
    """
    network.to(device)
    for weight in network.parameters():
        if device.type == "cpu" and weight.ndim in FORMATS:
            weight.data = weight.data.contiguous(memory_format=FORMATS[weight.ndim])
