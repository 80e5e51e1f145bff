"""ResNet-50 as a feature extractor, in the two forms of RadImageNet's public weights.

Both are the network of He et al. 2015, table 1. They differ in four details, and weights of one form run in a network
of the other without an error but give other features:

    keras       convolutions with bias, the stride in the first 1 x 1 of a block, epsilon 1.001e-5
    torch       convolutions without bias, the stride in the 3 x 3, epsilon 1e-5

The features are the mean of the last stage's map, 2,048 numbers, without a classifier. Slices may have any size.

Source: He et al., arXiv:1512.03385; keras.applications.resnet and torchvision's resnet for the two forms.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from medsyn2.types import Float

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
EXPANSION = 4


@dataclass(frozen=True)
class ResNetForm:
    """Differences of the two public forms."""

    name: str  # ``keras`` or ``torch``
    bias: bool  # Whether convolutions have a bias
    stride_first: bool  # Whether a block's stride is in its first 1 x 1 convolution rather than in the 3 x 3
    epsilon: float  # Of the batch normalisation


KERAS = ResNetForm("keras", bias=True, stride_first=True, epsilon=1.001e-5)
TORCH = ResNetForm("torch", bias=False, stride_first=False, epsilon=1e-5)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolution with a shortcut."""

    def __init__(self, fan_in: int, width: int, stride: int, form: ResNetForm) -> None:
        super().__init__()
        fan_out = width * EXPANSION
        first, second = (stride, 1) if form.stride_first else (1, stride)
        self.conv1 = nn.Conv2d(fan_in, width, 1, stride=first, bias=form.bias)
        self.bn1 = nn.BatchNorm2d(width, eps=form.epsilon)
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=1, bias=form.bias)
        self.bn2 = nn.BatchNorm2d(width, eps=form.epsilon)
        self.conv3 = nn.Conv2d(width, fan_out, 1, bias=form.bias)
        self.bn3 = nn.BatchNorm2d(fan_out, eps=form.epsilon)
        self.downsample = None
        if stride != 1 or fan_in != fan_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 1, stride=stride, bias=form.bias), nn.BatchNorm2d(fan_out, eps=form.epsilon)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e h2 w2"]:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet50Features(nn.Module):
    """The network without its classifier, always in evaluation mode."""

    def __init__(self, form: ResNetForm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=form.bias)
        self.bn1 = nn.BatchNorm2d(64, eps=form.epsilon)
        fan_in = 64
        for number, (width, depth) in enumerate(STAGES, 1):
            blocks = []
            for index in range(depth):
                stride = 2 if index == 0 and number > 1 else 1
                blocks.append(Bottleneck(fan_in, width, stride, form))
                fan_in = width * EXPANSION
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.eval()

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b e"]:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3))
