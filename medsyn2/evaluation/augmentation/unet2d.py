"""A plain U-Net for one slice.

    down   num_levels times: two 3 x 3 convolutions; between the levels the maximum of 2 x 2 pixels
    up     a 2 x 2 transposed convolution, concatenated with the level's own features, two 3 x 3 convolutions

Channels double from level to level. Each 3 x 3 convolution is followed by instance normalisation, which reduces the
influence of a slice's contrast, and a ReLU. The original has no normalisation and no padding, five levels and 64
channels at the first.

Source: Ronneberger, Fischer, Brox, "U-Net", arXiv:1505.04597; instance normalisation as in nnU-Net.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medsyn2.types import Float


def _convolutions(fan_in: int, fan_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (fan_in, fan_out):
        # The normalisation would remove a bias.
        layers += [nn.Conv2d(channels, fan_out, 3, padding=1, bias=False)]
        layers += [nn.InstanceNorm2d(fan_out, affine=True), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet2d(nn.Module):
    """Logits of one structure, at the size of the slice.

    Args:
        channels: Of the first level.
        num_levels: Levels; height and width must divide by 2^(num_levels - 1) into more than one pixel.
    """

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(num_levels)]
        self.down = nn.ModuleList(
            _convolutions(fan_in, fan_out) for fan_in, fan_out in zip([1, *widths], widths, strict=False)
        )
        self.widen = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in reversed(widths[:-1])
        )
        self.up = nn.ModuleList(_convolutions(2 * width, width) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        kept = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        kept.pop()
        for widen, block in zip(self.widen, self.up, strict=True):
            x = block(torch.cat([kept.pop(), widen(x)], dim=1))
        return self.head(x)
