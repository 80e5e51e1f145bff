"""Training data of the tokenizer: random crops of registered volumes, and random masks among them.

The crop at a position of the training depends on the seed and the position alone. Volumes are cached as int16 up to a
limit, so that a small cohort is read once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from medsyn2.ct.intensity import MASK_BACKGROUND, MASK_FOREGROUND, hu_to_unit
from medsyn2.errors import ConfigError
from medsyn2.integrity import verify
from medsyn2.store.read_artefact import read_made_ct
from medsyn2.training.engine.array_cache import ArrayCache
from medsyn2.training.engine.draws import generator_of, item_of

FEATURE_VOXELS = (4.0, 16.0)
"""Smallest and largest distance between the coarse grid's points."""
LEVEL_STD = 0.8
"""Standard deviation of the level, in those of the field before interpolation."""
SHEET_PROBABILITY = 0.5


def draw_mask(shape: Sequence[int], generator: torch.Generator) -> Float[torch.Tensor, "1 d h w"]:
    """Draw a binary volume of `shape` (depth, height, width), at -0.5 and 0.5, without anatomy.

    The paper's tokenizer starts from public weights that have seen many kinds of images, and so reconstructs masks. To
    one trained from scratch on CTs binary volumes are foreign, so that a share of its crops are *bodies*, where a
    smooth random field (white noise on a coarse grid of random spacing, interpolated) is above a random level, or
    *sheets*, the surface of such a body, three voxels thick, as boundaries of lobes are.
    """
    feature, sheet = torch.rand(2, generator=generator).tolist()
    low, high = FEATURE_VOXELS
    spacing = low * (high / low) ** feature
    coarse = [2 + round(length / spacing) for length in shape]
    noise = torch.randn(1, 1, *coarse, generator=generator)
    level = LEVEL_STD * torch.randn((), generator=generator)
    field = F.interpolate(noise, size=tuple(shape), mode="trilinear", align_corners=True)
    inside = (field > level).float()
    if sheet < SHEET_PROBABILITY:
        surface = inside + F.max_pool3d(-inside, 3, 1, 1)
        inside = F.max_pool3d(surface, 3, 1, 1)
    return MASK_BACKGROUND + (MASK_FOREGROUND - MASK_BACKGROUND) * inside[0]


Shape = tuple[int, int, int]
Volume = Int[np.ndarray, "d h w"]


@dataclass(frozen=True)
class CropSettings:
    """Settings of the crops."""

    grid_shape: Shape  # Voxels (depth, height, width) of the volumes
    crop_shape: Shape  # Voxels (depth, height, width) of a crop
    clip_hu: tuple[float, float]  # HU values mapped to -1 and 1
    mask_share: float  # Share of random masks among the crops (`draw_mask`)
    seed: int  # Seed of order, places and masks


class Crops:
    """Crops of volumes, as data of the training loop.

    Args:
        digests: The sha256 of each file, as its record says; the first reading of a file compares it.

    Raises:
        ConfigError: If there is no volume, or a crop is larger than a volume.
    """

    def __init__(
        self, volumes: Sequence[tuple[str, Path]], settings: CropSettings, *, digests: Mapping[Path, str] = {}
    ) -> None:
        if not volumes:
            raise ConfigError(
                "Expected at least one volume of the training split to train the tokenizer, got none.",
                code="no-training-cases",
                remedy="look at the quarantine of the stages before, or raise cohort.test_every.",
            )
        if any(crop > size for crop, size in zip(settings.crop_shape, settings.grid_shape, strict=True)):
            raise ConfigError(
                f"train_tokenizer.crop_shape {settings.crop_shape} is larger than grid.shape {settings.grid_shape}.",
                code="crop-too-large",
                remedy="lower train_tokenizer.crop_shape.",
            )
        self.volumes, self.settings, self.digests = list(volumes), settings, digests
        self._memory = ArrayCache()

    def batch(self, positions: Sequence[int]) -> Float[Tensor, "b 1 d h w"]:
        """Return the crops at `positions`: images in [-1, 1], or masks at -0.5 and 0.5."""
        return torch.stack([self._sample(position) for position in positions])

    def names(self, positions: Sequence[int]) -> list[str]:
        """Return the cases of the crops at `positions`."""
        return [self.volumes[self._item(position)][0] for position in positions]

    def _item(self, position: int) -> int:
        return item_of(self.settings.seed, position, len(self.volumes))

    def _sample(self, position: int) -> Float[Tensor, "1 d h w"]:
        generator = generator_of(self.settings.seed, "crop", position)
        if float(torch.rand((), generator=generator)) < self.settings.mask_share:
            return draw_mask(self.settings.crop_shape, generator)
        hu = self._volume(self._item(position))
        place = []
        for size, crop in zip(hu.shape, self.settings.crop_shape, strict=True):
            start = int(torch.randint(size - crop + 1, (), generator=generator))
            place.append(slice(start, start + crop))
        return torch.from_numpy(hu_to_unit(hu[tuple(place)], self.settings.clip_hu))[None]

    def _volume(self, item: int) -> Volume:
        return self._memory.get(item, lambda: self._read(self.volumes[item][1]))

    def _read(self, path: Path) -> Volume:
        if (sha256 := self.digests.get(path)) is not None:
            verify(path, sha256, path.parent.parent.with_suffix(".json"))
        return read_made_ct(path).hu
