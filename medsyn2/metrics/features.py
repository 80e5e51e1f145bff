"""Features of CT slices, for distances between sets of volumes.

An extractor takes windowed slices in [0, 1] and gives a vector for each. The weight-free one is a fixed bank
of random filters: three levels of 3 x 3 convolution, rectification and 2 x 2 pooling, whose channels are
summarised by their mean and standard deviation over the slice. Random filters rank distributions of textures
and edges sensibly (Ustyuzhaninov et al., arXiv:1606.00021), and anybody can make the same ones; but their
distances compare with each other only, never with published values, and every table says which extractor
made it.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional

from medsyn2.vocabulary import PLANE_AXIS, Plane

_MARGIN = 0.1


class FeatureExtractor(Protocol):
    """Turns slices into features.

    Attributes:
        name: What the tables call it; two names never compare.
    """

    name: str

    def __call__(self, slices: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n f"]:
        """Return a feature vector for each slice of values in [0, 1]."""
        ...


class RandomBank(nn.Module):
    """The weight-free extractor: fixed random filters at three scales."""

    def __init__(self, seed: int, channels: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        self.name = f"weight_free(seed={seed})"
        generator = torch.Generator().manual_seed(seed)
        for level, (fan_in, width) in enumerate(zip((1, *channels), channels, strict=False)):
            filters = torch.randn(width, fan_in, 3, 3, generator=generator) / (9 * fan_in) ** 0.5
            # Without their mean, so that the first level sees edges rather than brightness.
            self.register_buffer(
                f"level_{level}", filters - filters.mean(dim=(2, 3), keepdim=True) * (level == 0)
            )
        self.num_levels = len(channels)

    @torch.no_grad()
    def forward(self, slices: Float[Tensor, "n h w"]) -> Float[Tensor, "n f"]:
        x = slices[:, None] * 2.0 - 1.0
        summaries = [x.mean(dim=(2, 3)), x.std(dim=(2, 3))]
        for level in range(self.num_levels):
            x = functional.relu(functional.conv2d(x, self.get_buffer(f"level_{level}"), padding=1))
            summaries += [x.mean(dim=(2, 3)), x.std(dim=(2, 3))]
            x = functional.avg_pool2d(x, 2)
        return torch.cat(summaries, dim=1)

    def __call__(self, slices: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n f"]:
        batches = torch.from_numpy(np.ascontiguousarray(slices, dtype=np.float32)).split(64)
        return torch.cat([self.forward(batch) for batch in batches]).numpy()


def plane_slices(values: Num[np.ndarray, "d h w"], plane: Plane, num_slices: int) -> Num[np.ndarray, "n a b"]:
    """Return evenly spaced slices of a plane from the middle 80 % of a volume.

    The outer tenths hold the padding that registration leaves and the neck, which no generator is asked for.
    """
    axis = PLANE_AXIS[plane]
    last = values.shape[axis] - 1
    positions = np.linspace(_MARGIN * last, (1 - _MARGIN) * last, min(num_slices, last + 1))
    return np.moveaxis(values.take(np.unique(positions.round().astype(int)), axis=axis), axis, 0)


def planes() -> Iterator[Plane]:
    """Iterate over the three planes, in the paper's order XY, YZ, ZX."""
    yield from ("axial", "sagittal", "coronal")
