"""Feature extractors for CT slices.

An extractor maps windowed slices in [0, 1] to vectors. The weight-free one is a fixed bank of random filters: three
levels of 3 x 3 convolution, rectification and 2 x 2 pooling, whose channels are summarised by their mean and standard
deviation over the slice. Random filters rank distributions of textures and edges sensibly (Ustyuzhaninov et al.,
arXiv:1606.00021) and anybody can reproduce them, but their distances compare with each other only, never with
published values; every table names its extractor.

Means over a slice see no position: upside down it has nearly the same ones. Summarised over each of 3 x 3 tiles, under
a name of their own, the filters see flips and mirrors, in nine times the space.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Protocol as Interface
from typing import runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.features.protocols import PLANES, Protocol, plane_slices, prepare_volume
from medsyn2.evaluation.features.sizes import WEIGHT_FREE_BATCH, WEIGHT_FREE_CHANNELS

_TIMED_SLICES = 4


@runtime_checkable
class FeatureExtractor(Interface):
    """Maps slices to features."""

    name: str  # Name in the tables; extractors of different names never compare
    sha256: str  # Of its weights
    comparable: str  # Values that its own compare with, for the tables

    def __call__(self, slices: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n f"]:
        """Return a feature vector for each slice of values in [0, 1]."""
        ...


class RandomBank(nn.Module):
    """The weight-free extractor: fixed random filters at three scales."""

    comparable = "nothing but values of this extractor and protocol"

    def __init__(self, seed: int, channels: tuple[int, int, int] = WEIGHT_FREE_CHANNELS, *, tiles: int = 1) -> None:
        super().__init__()
        self.name = f"weight_free(seed={seed})" if tiles == 1 else f"weight_free_{tiles}x{tiles}(seed={seed})"
        self.tiles = tiles
        generator = torch.Generator().manual_seed(seed)
        for level, (fan_in, width) in enumerate(zip((1, *channels), channels, strict=False)):
            filters = torch.randn(width, fan_in, 3, 3, generator=generator) / (9 * fan_in) ** 0.5
            # The first level has no mean, so that it sees edges rather than brightness.
            self.register_buffer(f"level_{level}", filters - filters.mean(dim=(2, 3), keepdim=True) * (level == 0))
        self.num_levels = len(channels)
        filters_in_order = b"".join(filters.numpy().tobytes() for filters in self.buffers())
        self.sha256 = hashlib.sha256(filters_in_order).hexdigest()

    def forward(self, slices: Float[Tensor, "n h w"]) -> Float[Tensor, "n f"]:
        return self.summarise(self.filter(slices))

    @torch.no_grad()
    def filter(self, slices: Float[Tensor, "n h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """Return the slices, and the maps of the filters of each level."""
        x = slices[:, None] * 2.0 - 1.0
        maps = [x]
        for level in range(self.num_levels):
            x = functional.relu(functional.conv2d(x, self.get_buffer(f"level_{level}"), padding=1))
            maps.append(x)
            x = functional.avg_pool2d(x, 2)
        return maps

    @torch.no_grad()
    def summarise(self, maps: Iterable[Float[Tensor, "n _ _ _"]]) -> Float[Tensor, "n f"]:
        """Return the features of slices from their maps, which banks of one seed share whatever their tiles."""
        return torch.cat([summary for one in maps for summary in self._summaries(one)], dim=1)

    def _summaries(self, maps: Float[Tensor, "n c h w"]) -> Iterator[Float[Tensor, "n c"]]:
        """Yield mean and standard deviation over each tile."""
        if self.tiles == 1:
            yield from _mean_and_sd(maps, correction=1)
            return
        for rows, columns in product(*(_tiles(size, self.tiles) for size in maps.shape[2:])):
            part = maps[:, :, rows, columns]
            yield from _mean_and_sd(part, correction=0)  # a tile may be one pixel

    def __call__(self, slices: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n f"]:
        batches = torch.from_numpy(np.ascontiguousarray(slices, dtype=np.float32)).split(WEIGHT_FREE_BATCH)
        return torch.cat([self.forward(batch) for batch in batches]).numpy()


def _mean_and_sd(
    maps: Float[Tensor, "n c h w"], *, correction: int
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
    """Return both over each map; `Tensor.std` takes several times as long as two passes."""
    mean = maps.mean(dim=(2, 3), keepdim=True)
    num = maps[0, 0].numel()
    return mean[..., 0, 0], torch.linalg.vector_norm(maps - mean, dim=(2, 3)) / (num - correction) ** 0.5


def _tiles(size: int, count: int) -> Iterator[slice]:
    """Yield the parts of an axis, of one pixel at least; those of a small one overlap."""
    for index in range(count):
        yield slice(index * size // count, -(-(index + 1) * size // count))


def volume_features(
    volume: CTVolume, protocol: Protocol, extractor: FeatureExtractor, windows: Iterable[str]
) -> dict[str, Float[np.ndarray, "n f"]]:
    """Return the features of a volume's slices, for each window and plane, named ``<window>/<plane>``."""
    hu = prepare_volume(volume, protocol)
    return {
        f"{window}/{plane}": extractor(plane_slices(hu, plane, protocol.windows_hu[window], protocol))
        for window in windows
        for plane in PLANES
    }


def estimate_cost(volume: CTVolume, protocol: Protocol, extractor: FeatureExtractor, num_windowed: int) -> str:
    """Describe the cost of an extraction, timed on a few slices of one volume.

    Args:
        num_windowed: Number of volumes, each counted once a window.
    """
    hu = prepare_volume(volume, protocol)
    window = next(iter(protocol.windows_hu.values()))
    slices, seconds = 0, 0.0
    for plane in PLANES:
        taken = plane_slices(hu, plane, window, protocol)
        start = time.perf_counter()
        extractor(taken[:_TIMED_SLICES])
        seconds += (time.perf_counter() - start) / min(_TIMED_SLICES, len(taken)) * len(taken)
        slices += len(taken)
    return (
        f"{extractor.name}, protocol {protocol.name}: {num_windowed} volumes in a window x {slices} slices = "
        f"{slices * num_windowed:,} slices through the extractor, about {seconds * num_windowed / 60:.1f} minutes here"
    )
