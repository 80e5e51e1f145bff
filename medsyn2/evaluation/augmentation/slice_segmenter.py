"""Training of a plain U-Net on slices, the yardstick of the training sets.

A training is a number of optimizer steps, not of epochs, so that sets of different sizes get equal work. The input is
the lung window, from -1 to 1. The loss is binary cross-entropy plus 1 - soft Dice of each slice, the optimizer Adam
with a constant rate, without augmentation. The seed decides the first weights and the order of the slices, so that two
sets with one seed start from the same network; equal slices, seed and number of threads give the same network.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medsyn2.config import EvaluateAugmentationConfig
from medsyn2.ct.intensity import apply_window
from medsyn2.errors import NonFiniteLossError
from medsyn2.evaluation.augmentation.slices import LabelledSlice
from medsyn2.training.engine.optimizer import AdamSettings, make_optimizer
from medsyn2.types import Float
from medsyn2.vocabulary import WINDOWS_HU


def _convolutions(fan_in: int, fan_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (fan_in, fan_out):
        # The normalisation would remove a bias.
        layers += [nn.Conv2d(channels, fan_out, 3, padding=1, bias=False)]
        layers += [nn.InstanceNorm2d(fan_out, affine=True), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet2d(nn.Module):
    """A plain U-Net: logits of one structure, at the size of the slice.

    Channels double from level to level; between levels down is the maximum of 2 x 2 pixels, up a 2 x 2 transposed
    convolution, concatenated with the level's own features. Each level has two 3 x 3 convolutions, each followed by
    instance normalisation, which reduces the influence of a slice's contrast, and a ReLU. The original has no
    normalisation and no padding, five levels and 64 channels at the first.

    Source: Ronneberger, Fischer, Brox, "U-Net", arXiv:1505.04597; instance normalisation as in nnU-Net.

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
        self.widen = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in reversed(widths[:-1]))
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


_SMOOTH = 1.0
"""Added to numerator and denominator of the soft Dice, so that an empty mask asks for an empty prediction."""


def train_segmenter(
    slices: Sequence[LabelledSlice], how: EvaluateAugmentationConfig, *, seed: int, device: torch.device | str = "cpu"
) -> UNet2d:
    """Train a network on slices of one size.

    Raises:
        NonFiniteLossError: If the training diverges.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet2d(how.channels, how.num_levels)
    network.to(device).train()
    images, masks = images_of(slices).to(device), _masks_of(slices).to(device)
    optimizer = make_optimizer(network.parameters(), AdamSettings(how.learning_rate))
    order = _order(len(slices), how.batch_size, torch.Generator().manual_seed(seed))
    with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        for step, chosen in zip(range(how.num_steps), order, strict=False):
            loss = segmentation_loss(network(images[chosen]), masks[chosen])
            if not torch.isfinite(loss):
                raise NonFiniteLossError(
                    f"the loss of the slices' network is {loss.item()} at step {step}.",
                    code="loss-not-finite",
                    remedy="lower evaluate_augmentation.learning_rate.",
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@torch.inference_mode()
def probabilities(network: UNet2d, slices: Sequence[LabelledSlice]) -> Float[np.ndarray, "n h w"]:
    """Return the probability of the structure at each pixel, slice by slice."""
    device = next(network.parameters()).device
    found = [network(images_of([one]).to(device)).sigmoid()[0, 0].cpu() for one in slices]
    return torch.stack(found).numpy()


def segmentation_loss(logits: Float[Tensor, "b 1 h w"], masks: Float[Tensor, "b 1 h w"]) -> Float[Tensor, ""]:
    """Return binary cross-entropy plus 1 - soft Dice, the mean over slices."""
    inside = logits.sigmoid()
    common = (inside * masks).sum(dim=(1, 2, 3))
    total = inside.sum(dim=(1, 2, 3)) + masks.sum(dim=(1, 2, 3))
    soft_dice = (2 * common + _SMOOTH) / (total + _SMOOTH)
    return F.binary_cross_entropy_with_logits(logits, masks) + (1 - soft_dice).mean()


def images_of(slices: Sequence[LabelledSlice]) -> Float[Tensor, "n 1 h w"]:
    """Return slices of one size as the network's input: the lung window from -1 to 1."""
    windowed = [2 * apply_window(one.hu, WINDOWS_HU["lung"]) - 1 for one in slices]
    return torch.from_numpy(np.stack(windowed).astype(np.float32))[:, None]


def _masks_of(slices: Sequence[LabelledSlice]) -> Float[Tensor, "n 1 h w"]:
    return torch.from_numpy(np.stack([one.mask for one in slices]).astype(np.float32))[:, None]


def _order(num: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield endless batches over random orders of the slices; a batch may span two orders."""
    waiting = torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < batch_size:
            waiting = torch.cat([waiting, torch.randperm(num, generator=generator)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]
