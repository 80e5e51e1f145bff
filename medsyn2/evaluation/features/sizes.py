"""The numbers of volumes, slices and features that the protocols and the extractors have.

Here and not beside their code, because the workflow asks for the memory of a job when it is parsed, without NumPy.
"""

from dataclasses import dataclass

from medsyn2.config import Config
from medsyn2.vocabulary import Window

CUBE_VOXELS = 512
"""Voxels an axis of the cube that ``maisi`` and ``vlm3d`` cut or pad volumes to; ``paper`` leaves them as they are."""

CENTRAL_SHARE = {"paper": 1.0, "maisi": 0.4, "vlm3d": 1.0}
"""Share of the slices of each plane, about the middle, that a protocol takes."""

MAX_VOLUMES = {"paper": None, "maisi": None, "vlm3d": 100}
"""Volumes that a protocol takes at most, the first by name."""

WEIGHT_FREE_CHANNELS = (16, 32, 64)
"""Random filters of each level."""

WEIGHT_FREE_WIDTH = 2 * (1 + sum(WEIGHT_FREE_CHANNELS))
"""Features of a slice or a tile: mean and standard deviation of the image and of each filter."""

TILES = 3
"""Tiles along each side of a slice, where weight-free features are pooled over tiles."""

RADIMAGENET_WIDTH = 2048
"""Features of a slice."""

WEIGHT_FREE_BATCH, RADIMAGENET_BATCH = 64, 16
"""Slices that go through an extractor at once."""

FRECHET_CHUNK_ROWS = 2048
"""Slices whose features are converted to double precision at once."""

THUMBNAIL = 32
"""Voxels on each axis of a thumbnail."""

THUMBNAIL_WINDOW: Window = "lung"
"""The window that thumbnails are of."""


def num_tiles(config: Config) -> int:
    """Return the tiles along each side of a slice over which weight-free features are pooled."""
    return TILES if config.evaluate_fid.tiles else 1


def takes_all_volumes(config: Config) -> bool:
    """Return whether the protocol takes all volumes, so that features can be extracted shard by shard."""
    return MAX_VOLUMES[config.evaluate_fid.protocol] is None


@dataclass(frozen=True)
class SliceSizes:
    """The slices of a volume that the extractor sees, and its features."""

    slices: tuple[int, ...]  # Slices of a volume on each plane
    shapes: tuple[tuple[int, int], ...]  # Height and width of the slices of each plane
    width: int  # Features of a slice

    @classmethod
    def of(cls, config: Config) -> "SliceSizes":
        """Return those of a configuration."""
        fid = config.evaluate_fid
        depth, height, width = config.grid.shape if fid.protocol == "paper" else (CUBE_VOXELS,) * 3
        taken = [round(CENTRAL_SHARE[fid.protocol] * length) for length in (depth, height, width)]
        return cls(
            tuple(min(fid.slices_per_volume or length, length) for length in taken),
            ((height, width), (depth, width), (depth, height)),
            WEIGHT_FREE_WIDTH * num_tiles(config) ** 2 if fid.radimagenet is None else RADIMAGENET_WIDTH,
        )

    @property
    def bytes_per_pass(self) -> float:
        """Features of a volume in one window."""
        return 4.0 * sum(self.slices) * self.width
