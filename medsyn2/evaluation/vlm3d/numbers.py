"""The challenge's numbers of features, beside the same of real volumes.

    FVD_CTNet        the mean over groups of 4 pairs, in the order of their names, of the Frechet distance of CT-Net's
                     96 features
    CLIPScore        the mean over the volumes of 100 x the cosine of volume and prompt, at least 0
    CLIPScore_I2I    the same of a volume and the real one of its name
    CLIPScore_mean   the mean of both
    FID_2p5D_*       the Frechet distance of RadImageNet's features of all slices of a plane, and the mean of the planes

A covariance of 4 volumes has rank 3 of 96: the distance of a group is mostly the noise of so few, and real volumes
against other real ones have a distance of the same size. The program fails at a last group of one volume, which is left
out here. ``FVD_CTNet_all`` is the distance of all volumes at once, which the challenge does not compute.
"""

from collections.abc import Iterator, Mapping
from math import nan
from typing import Any

import numpy as np
from jaxtyping import Float

from medsyn2.evaluation.features.frechet import frechet_distance
from medsyn2.vocabulary import Plane

GROUP = 4
"""Pairs of a group of the Frechet video distance."""
_LEAST = 2
_PLANE_NAMES: dict[Plane, str] = {"axial": "XY", "coronal": "XZ", "sagittal": "YZ"}
_TINY = "groups of 4 volumes in 96 dimensions are mostly noise: read it beside the column real, and FVD_CTNet_all"
_ALL = "not the challenge's: all volumes in one distance"

Row = dict[str, Any]


def video_rows(real: Float[np.ndarray, "n f"], synthetic: Float[np.ndarray, "n f"]) -> Iterator[Row]:
    """Yield the Frechet video distance as the challenge has it, and that of all volumes.

    Args:
        real: CT-Net's features of the real volumes, in the order of the synthetic ones' names.
        synthetic: The same of the synthetic ones.
    """
    half = len(real) // 2
    value, groups = _mean_over_groups(real, synthetic)
    yield _row(
        "FVD_CTNet", value, _mean_over_groups(real[:half], real[half : 2 * half])[0], len(synthetic), groups, _TINY
    )
    apart = _distance(real[:half], real[half:])
    yield _row("FVD_CTNet_all", _distance(real, synthetic), apart, len(synthetic), 1, _ALL)


def clip_rows(
    real: Float[np.ndarray, "n f"], synthetic: Float[np.ndarray, "n f"], texts: Float[np.ndarray, "n f"]
) -> Iterator[Row]:
    """Yield the CLIP scores of unit vectors; a row of each is of one name."""
    own, reference, between = _score(synthetic, texts), _score(real, texts), _score(synthetic, real)
    shuffled = _score(np.roll(real, 1, axis=0), real) if len(real) > 1 else nan
    count = len(synthetic)
    yield _row("CLIPScore", own, reference, count, count, "real: the real volumes with the same prompts")
    yield _row("CLIPScore_I2I", between, shuffled, count, count, "real: each real volume with another real one")
    yield _row("CLIPScore_mean", (own + between) / 2, nan, count, count, "the mean of the two above")


def fid_rows(distances: Mapping[Plane, tuple[float, float]], num_volumes: int) -> Iterator[Row]:
    """Yield the 2.5-D Frechet distances.

    Args:
        distances: Of each plane the distance, and that of one half of the real patients to the other.
    """
    note = "real: one half of the real patients against the other"
    mean, floor = (float(np.mean(values)) for values in zip(*distances.values(), strict=True))
    yield _row("FID_2p5D_Avg", mean, floor, num_volumes, 1, note)
    for plane, name in _PLANE_NAMES.items():
        yield _row(f"FID_2p5D_{name}", *distances[plane], num_volumes, 1, note)


def _mean_over_groups(real: Float[np.ndarray, "n f"], synthetic: Float[np.ndarray, "n f"]) -> tuple[float, int]:
    groups = [slice(start, start + GROUP) for start in range(0, len(real), GROUP) if len(real) - start >= _LEAST]
    values = [frechet_distance(real[group], synthetic[group]) for group in groups]
    return (float(np.mean(values)) if values else nan), len(values)


def _distance(first: Float[np.ndarray, "n f"], second: Float[np.ndarray, "m f"]) -> float:
    return frechet_distance(first, second) if min(len(first), len(second)) >= _LEAST else nan


def _score(one: Float[np.ndarray, "n f"], other: Float[np.ndarray, "n f"]) -> float:
    return float(np.mean(np.maximum(100 * np.sum(one * other, axis=1), 0)))


def _row(name: str, value: float, real: float, volumes: int, groups: int, note: str) -> Row:
    return {"number": name, "value": value, "real": real, "num_volumes": volumes, "num_groups": groups, "note": note}
