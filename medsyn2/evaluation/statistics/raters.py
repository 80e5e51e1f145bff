"""Agreement of readers beyond chance, and intervals of shares.

Two readers judge the same cases on q ordered levels; n_ij counts the cases that the first put on level i and the second
on level j, p_ij = n_ij / n. With weights w_ij, 1 on the diagonal and less off it,

    observed  p_o = sum w_ij p_ij,
    Cohen's kappa: by chance  p_e = sum w_ij p_i. p_.j                              (Cohen 1960, 1968),
    Gwet's AC:     by chance  p_e = sum w_ij / (q (q - 1)) * sum_k r_k (1 - r_k),   r_k = (p_k. + p_.k) / 2
                                                                                    (Gwet 2008, 2014),

and the coefficient is (p_o - p_e) / (1 - p_e). Where nearly all cases are on one level kappa falls to nothing although
the readers agree (the kappa paradox); AC does not, so both are given. AC1 is AC with w = identity.

Weights: ``none``, the identity; ``linear``, 1 - |i - j| / (q - 1); ``quadratic``, 1 - (i - j)^2 / (q - 1)^2.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from medsyn2.evaluation.statistics.intervals import mean_influence

Weights = Literal["none", "linear", "quadratic"]

_Z = 1.959964


@dataclass(frozen=True)
class Agreement:
    """Agreement of two readers on the same cases."""

    num: int  # Cases both judged
    same: float  # Share of cases on the same level
    kappa: float  # Cohen's
    kappa_linear: float  # The same with linear weights
    kappa_quadratic: float  # The same with quadratic weights
    ac1: float  # Gwet's
    ac2_quadratic: float  # Gwet's with quadratic weights


def agreement(first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], num_levels: int) -> Agreement:
    """Compare two readers' levels of the same cases.

    Args:
        first: Level of each case, from 0, by one reader.
        second: The same by the other, or by the same reader again.
    """
    counts = np.zeros((num_levels, num_levels), dtype=np.int64)
    np.add.at(counts, (first, second), 1)
    return Agreement(
        num=len(first),
        same=float(np.trace(counts) / max(1, len(first))),
        kappa=cohen_kappa(counts, "none"),
        kappa_linear=cohen_kappa(counts, "linear"),
        kappa_quadratic=cohen_kappa(counts, "quadratic"),
        ac1=gwet_ac(counts, "none"),
        ac2_quadratic=gwet_ac(counts, "quadratic"),
    )


def cohen_kappa(counts: Int[np.ndarray, "q q"], weights: Weights) -> float:
    """Return Cohen's kappa of a table of counts; NaN if there is nothing to disagree on.

    Source: Cohen 1960; weighted, Cohen 1968.
    """
    shares = counts / max(1, counts.sum())
    credit = _credit(len(counts), weights)
    by_chance = np.outer(shares.sum(axis=1), shares.sum(axis=0))
    return _beyond_chance(float((credit * shares).sum()), float((credit * by_chance).sum()))


def gwet_ac(counts: Int[np.ndarray, "q q"], weights: Weights) -> float:
    """Return Gwet's AC1 (weights ``none``) or AC2 of a table of counts; NaN of an empty one.

    Source: Gwet 2008, equation 9; weighted, Gwet 2014, chapter 4.
    """
    if counts.sum() == 0:
        return float("nan")
    shares = counts / counts.sum()
    credit = _credit(len(counts), weights)
    level = (shares.sum(axis=1) + shares.sum(axis=0)) / 2
    num = len(counts)
    by_chance = credit.sum() / (num * (num - 1)) * float((level * (1 - level)).sum())
    return _beyond_chance(float((credit * shares).sum()), by_chance)


def wilson(count: float, num: float) -> tuple[float, float]:
    """Return the 95 % interval of a share. Source: Wilson 1927."""
    p, z2 = count / num, _Z**2
    centre, width = p + z2 / (2 * num), _Z * np.sqrt(p * (1 - p) / num + z2 / (4 * num**2))
    return float((centre - width) / (1 + z2 / num)), float((centre + width) / (1 + z2 / num))


def wilson_over_patients(hits: pd.Series, patients: pd.Series) -> tuple[float, float]:
    """Return the 95 % interval of the share of cases that are hits.

    Wilson's, with the number of independent cases whose share would have the error that patients give this one: no more
    than there are, and of cases that are all alike, the number of patients. Source: Korn and Graubard 1998.
    """
    share, num = float(hits.mean()), float(patients.nunique())
    if 0 < share < 1 and num > 1:
        influence = mean_influence(hits.astype(float), patients)
        variance = num / (num - 1) * float((influence**2).sum())
        num = min(share * (1 - share) / max(variance, np.finfo(float).tiny), float(len(hits)))
    return wilson(share * num, num)


def _credit(num: int, weights: Weights) -> Float[np.ndarray, "q q"]:
    apart = np.abs(np.subtract.outer(np.arange(num), np.arange(num))) / (num - 1)
    return {"none": np.eye(num), "linear": 1 - apart, "quadratic": 1 - apart**2}[weights]


def _beyond_chance(observed: float, by_chance: float) -> float:
    return float("nan") if by_chance > 1 - 1e-12 else (observed - by_chance) / (1 - by_chance)
