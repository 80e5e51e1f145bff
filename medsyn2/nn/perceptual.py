"""LPIPS on the slices of a volume: the perceptual loss of the tokenizer.

Two images go through VGG16's convolutions. The features f_l before each of its four poolings and after the last
convolution are divided by their length at each pixel and compared,

    d(x, y) = sum_l mean_pixels sum_channels w_lc (f_lc(x) / |f_l(x)| - f_lc(y) / |f_l(y)|)^2,

with weights w fitted to human judgements. Each axial slice of a CT is a grey image in three channels, as upstream
treats the frames of a video.

All parameters are frozen and external: VGG16 from torchvision (``features.*``), w from the `lpips` package
(``lin*.model.1.weight``), under their own names. `medsyn2 convert perceptual` merges the two files.

Source: Zhang et al., arXiv:1801.03924 (v0.1 of the weights, with ScalingLayer); Simonyan and Zisserman,
arXiv:1409.1556, configuration D.
"""

import torch
from torch import Tensor, nn

from medsyn2.errors import ConfigError
from medsyn2.types import Float

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of VGG16's five stages."""
CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Convolutions of each stage."""
SMALLEST_PLANE = 2 ** (len(CHANNELS) - 1)
"""Height and width in pixels of the smallest slice, one pixel at the last stage."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and standard deviation, of values in [-1, 1], for red, green and blue."""
EPS = 1e-10


class Perceptual(nn.Module):
    """LPIPS with VGG16: 14,716,160 parameters in 31 tensors, all frozen."""

    shift: Tensor
    scale: Tensor

    def __init__(self, channels: tuple[int, ...] = CHANNELS) -> None:
        super().__init__()
        self.features = _vgg16(channels)
        for stage, width in enumerate(channels):
            self.add_module(f"lin{stage}", _Weights(width))
        # Not persistent: constants, absent from torchvision's files.
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, x: Float[Tensor, "b 1 d h w"], y: Float[Tensor, "b 1 d h w"]) -> Float[Tensor, ""]:
        """Return the distance between volumes in [-1, 1], averaged over their slices.

        Raises:
            ConfigError: If a slice is too small for the network.
        """
        if min(x.shape[3:]) < SMALLEST_PLANE:
            raise ConfigError(
                f"The perceptual loss needs slices of at least {SMALLEST_PLANE} x {SMALLEST_PLANE} voxels, got "
                f"{tuple(x.shape[3:])}.",
                code="perceptual-shape",
                remedy="choose a larger train_tokenizer.crop_shape, or leave train_tokenizer.perceptual_weights out.",
            )
        with torch.autocast(x.device.type, enabled=False):
            return self.images(_slices(x.float()), _slices(y.float())).mean()

    def images(self, x: Float[Tensor, "b 3 h w"], y: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """Return the distance between each pair of colour images in [-1, 1]."""
        distance = x.new_zeros(len(x))
        for stage, (ours, theirs) in enumerate(zip(self._features(x), self._features(y), strict=True)):
            difference = (_unit(ours) - _unit(theirs)).square()
            distance = distance + self.get_submodule(f"lin{stage}")(difference).mean(dim=(1, 2, 3))
        return distance

    def _features(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Return the activations at the end of each stage."""
        x, found = (images - self.shift) / self.scale, []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(x)
            x = layer(x)
        return [*found, x]


class _Weights(nn.Module):
    """A weight per channel, under its name in the `lpips` package (where it follows a dropout)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        return self.model(x)


def _vgg16(channels: tuple[int, ...]) -> nn.Sequential:
    """Build VGG16's convolutions, numbered as in torchvision's ``features``, without the last pooling."""
    layers: list[nn.Module] = []
    inputs = 3
    for width, count in zip(channels, CONVOLUTIONS, strict=True):
        if layers:
            layers.append(nn.MaxPool2d(2))
        for _ in range(count):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
    return nn.Sequential(*layers)


def _unit(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    # A square root has an infinite gradient where all channels of a pixel are 0 (NaN upstream); vector_norm's is 0.
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + EPS)


def _slices(x: Float[Tensor, "b 1 d h w"]) -> Float[Tensor, "bd 3 h w"]:
    b, _, d, h, w = x.shape
    return x.reshape(b * d, 1, h, w).expand(-1, 3, -1, -1)
