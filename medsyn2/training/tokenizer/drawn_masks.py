"""Random masks, from which an untrained tokenizer learns binary volumes.

The paper's tokenizer starts from public weights, is tuned on CTs alone, and still reconstructs masks, because it has
seen many kinds of images. A tokenizer trained from scratch on a few CTs has not: binary volumes at -0.5 and 0.5 are
foreign to it. So a share of its crops are such volumes, without anatomy:

* *bodies*, where a smooth random field is above a random level;
* *sheets*, the surface of such a body, three voxels thick, as boundaries of lobes are.

The field is white noise on a coarse grid of random spacing, interpolated linearly.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from medsyn2.ct.intensity import MASK_BACKGROUND, MASK_FOREGROUND
from medsyn2.types import Float

FEATURE_VOXELS = (4.0, 16.0)
"""Smallest and largest distance between the coarse grid's points."""
LEVEL_STD = 0.8
"""Standard deviation of the level, in those of the field before interpolation."""
SHEET_PROBABILITY = 0.5


def draw_mask(shape: Sequence[int], generator: torch.Generator) -> Float[torch.Tensor, "1 d h w"]:
    """Draw a binary volume of `shape` (depth, height, width), at -0.5 and 0.5."""
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
