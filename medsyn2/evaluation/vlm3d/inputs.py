"""Volumes as the challenge's program gives them to its two networks, its peculiarities included.

Both are cut to [-1000, 1000] HU and have the axes depth, width, height: the program swaps the last two. For CT-Net the
whole CT is stretched to one shape, whatever its spacing. For CT-CLIP it is resampled to 1.5 x 0.75 x 0.75 mm, cut or
padded about its centre and divided by 1000; the padding is -1 before the division, which is the value of water. The
program ignores a file's direction; here the axes are canonical, as they are in a file without a rotation.

Source: github.com/forithmus/VLM3D-Dockers, ctgen_evaluation: evaluate_fvd.py, evaluate_clip.py, FVD/ctnet/load_dataset.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medsyn2.ct.volume import CTVolume
from medsyn2.types import Float

_RANGE_HU = (-1000.0, 1000.0)
_CTNET_RANGE_HU = (-1000.0, 200.0)
_IMAGENET_MEAN = 0.449
_SPACING_MM = (1.5, 0.75, 0.75)
_PADDING_HU = -1.0


def for_ctnet(volume: CTVolume, slices: int, side: int) -> Float[Tensor, "d w h"]:
    """Return a CT in CT-Net's shape and range."""
    stretched = functional.interpolate(_swap(volume), (slices, side, side), mode="trilinear", align_corners=False)
    low, high = _CTNET_RANGE_HU
    return (stretched[0, 0].clamp(low, high) - low) / (high - low) - _IMAGENET_MEAN


def for_ct_clip(volume: CTVolume, shape: tuple[int, int, int]) -> Float[Tensor, "d w h"]:
    """Return a CT in CT-CLIP's spacing, shape and range."""
    # The program gives the spacing along the height to the width and the other way round.
    sizes = [
        round(n * own / wanted)
        for n, own, wanted in zip(_shape_dwh(volume), volume.spacing_mm, _SPACING_MM, strict=True)
    ]
    resampled = functional.interpolate(_swap(volume), sizes, mode="trilinear", align_corners=False)[0, 0]
    pairs = [((wanted - n) // 2, wanted - n - (wanted - n) // 2) for n, wanted in zip(sizes, shape, strict=True)]
    padding = [end for pair in reversed(pairs) for end in pair]
    return functional.pad(resampled, padding, value=_PADDING_HU) / 1000


def _swap(volume: CTVolume) -> Float[Tensor, "1 1 d w h"]:
    clipped = np.clip(volume.hu.astype(np.float32), *_RANGE_HU).transpose(0, 2, 1)
    return torch.from_numpy(np.ascontiguousarray(clipped))[None, None]


def _shape_dwh(volume: CTVolume) -> tuple[int, int, int]:
    depth, height, width = volume.shape
    return depth, width, height
