"""CT-Net, whose second last layer is the space of the challenge's Frechet video distance.

A ResNet-18 sees three neighbouring slices as the channels of a picture, all 134 triplets of a CT of 402 slices. Three
convolutions then run over its maps with the triplets as channels and the maps' own channels as depth, and three linear
layers give labels. The features are the 96 numbers before the last. The names of the tensors are those of the
published weights, which come under ``params`` and the prefix ``module.``.

Source: Draelos et al., Medical Image Analysis 67 (2021) 101857; github.com/forithmus/VLM3D-Dockers, ctgen_evaluation.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.vlm3d.inputs import for_ctnet
from medsyn2.files import sha256_of
from medsyn2.nn.device import available_device
from medsyn2.types import Float
from medsyn2.weights.tensors import load_component, load_strictly, tensors_path

KIND = "ct-net"
SLICES, SIDE = 402, 420
"""Voxels that the published network sees, along the depth and in a slice."""
NUM_FEATURES = 96

_WIDTHS = (64, 128, 256, 512)
_HALVINGS = 5
_BATCH = 16
"""Triplets at once; the first maps of one take 11 MB."""


class _Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or fan_in != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(fan_in, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + shortcut)


class CTNet(nn.Module):
    """The network, always in evaluation mode.

    Args:
        slices: Slices of a CT, a multiple of three.
        side: Voxels along the height and the width.
        num_labels: Outputs of the last layer, which the features do not pass.
    """

    def __init__(self, slices: int = SLICES, side: int = SIDE, num_labels: int = 18) -> None:
        super().__init__()
        self.slices, self.side = slices, side
        stages = [nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        fan_ins = (64, *_WIDTHS)
        self.features = nn.Sequential(
            *stages,
            nn.MaxPool2d(3, stride=2, padding=1),
            *(
                nn.Sequential(_Block(fan_in, width, 1 if number == 0 else 2), _Block(width, width, 1))
                for number, (fan_in, width) in enumerate(zip(fan_ins, _WIDTHS, strict=False))
            ),
        )
        self.reducingconvs = nn.Sequential(
            nn.Conv3d(slices // 3, 64, 3, stride=(3, 1, 1)),
            nn.ReLU(),
            nn.Conv3d(64, 32, 3, stride=(3, 1, 1)),
            nn.ReLU(),
            nn.Conv3d(32, 16, (3, 2, 2), stride=(3, 2, 2)),
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 18 * _side_of_last_maps(side) ** 2, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, NUM_FEATURES),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(NUM_FEATURES, num_labels),
        )
        self.eval()

    @torch.no_grad()
    def forward(self, ct: Float[Tensor, "d h w"]) -> Float[Tensor, " f"]:
        triplets = ct.reshape(-1, 3, *ct.shape[1:]).split(_BATCH)
        maps = torch.cat([self.features(part) for part in triplets])
        reduced = self.reducingconvs(maps[None]).flatten(1)
        features: Tensor = self.classifier[:-1](reduced)[0]
        return features


def _side_of_last_maps(side: int) -> int:
    """Return the side of the last maps: halved by the ResNet, cut by two convolutions, halved by the third."""
    for _ in range(_HALVINGS):
        side = -(-side // 2)
    return (side - 4) // 2


class CTNetExtractor:
    """Maps a CT to CT-Net's features.

    Args:
        path: The description that ``medsyn2 convert ct-net`` wrote.
        device: Where the network runs.

    Raises:
        WeightsError: If the weights are missing, unreadable or of another layout.
    """

    name = "ctnet"

    def __init__(self, path: Path, device: str) -> None:
        config, state = load_component(path, KIND)
        self._network = build_ctnet(state, source=str(path), **config).to(available_device(device))
        self.sha256 = sha256_of(tensors_path(path))

    def __call__(self, volume: CTVolume) -> Float[Tensor, " f"]:
        """Return the features of a CT in HU."""
        device = next(self._network.parameters()).device
        found: Tensor = self._network(for_ctnet(volume, self._network.slices, self._network.side).to(device)).cpu()
        return found


def build_ctnet(state: Mapping[str, Tensor], *, source: str, slices: int = SLICES, side: int = SIDE) -> CTNet:
    """Build the network with these weights.

    Raises:
        WeightsError: If a tensor is missing, unexpected or of another shape.
    """
    network = CTNet(slices, side)
    load_strictly(network, state, source=source)
    return network
