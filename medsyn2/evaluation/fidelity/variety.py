"""Variety: how far apart the volumes of a set lie from each other, beside real ones.

A generator that makes one chest again and again, or chests that are all near the average, can have a Frechet distance
below that of real volumes from other real volumes. Its volumes lie too near to each other. Variety is the mean distance
between volumes of different patients over that of the real volumes, each feature in units of its standard deviation
within the sets, both counted alike, or the set that gives the unit would look the narrower one: 1 for real patients,
0.6 for a set that is shrunk to 0.6 of its spread, near 0 for one volume many times. Its interval is over patients, by
the influence of each on both means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.spatial.distance import cdist

from medsyn2.evaluation.statistics.intervals import MIN_PATIENTS, ratio_of


@dataclass(frozen=True)
class Variety:
    """The mean distance within a set over that within the real set."""

    ratio: float  # NaN with fewer than two patients in a set
    low: float  # Lower end of its 95 % interval over patients; NaN with fewer than five in a set
    high: float  # Upper end


def variety(
    real: Float[np.ndarray, "v f"], synthetic: Float[np.ndarray, "w f"], patients: tuple[Sequence[str], Sequence[str]]
) -> Variety:
    """Compare the spread of two sets of points, one a volume, of which the patients are given."""
    if min(len(set(one)) for one in patients) < 2:
        return Variety(nan, nan, nan)
    scale = np.sqrt((real.var(axis=0) + synthetic.var(axis=0)) / 2)
    scale = np.where(scale > 0, scale, np.inf)  # a feature that never varies says nothing
    means, influences = zip(
        *(_spread(points / scale, owners) for points, owners in zip((synthetic, real), patients[::-1], strict=True)),
        strict=True,
    )
    ratio, ends = ratio_of(means, influences)
    few = min(len(set(one)) for one in patients) < MIN_PATIENTS
    return Variety(ratio, *((nan, nan) if few else ends))


def _spread(points: Float[np.ndarray, "v f"], patients: Sequence[str]) -> tuple[float, pd.Series]:
    """Return the mean distance between points of different patients, and the influence of each patient on it.

    That is the mean's change without the patient: one with many volumes changes it by more than the linear share of his
    distances, and intervals of five patients by that share hold the true value in 86 %.
    """
    owners = np.array(patients)
    is_pair = owners[:, None] != owners[None]
    distances = np.where(is_pair, cdist(points, points), 0.0)
    total, count = distances.sum() / 2, is_pair.sum() / 2
    own = pd.DataFrame({"total": distances.sum(axis=1), "count": is_pair.sum(axis=1)}).groupby(owners).sum()
    with np.errstate(invalid="ignore"):  # of two patients, none is left without one
        without = (total - own["total"]) / (count - own["count"])
    return float(total / count), (total / count - without) * (len(own) - 1) / len(own)
