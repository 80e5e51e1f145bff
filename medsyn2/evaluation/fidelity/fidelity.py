"""A row of Table 1: the Frechet distance with the numbers needed to read it.

The distance of few volumes is large whatever they are, for its bias grows as 1 / volumes, so that two values compare
only at equal counts. Each is therefore given with

    floor          the distance of real volumes from other patients' real volumes, k against k patients
    fid_at_floor   the distance of k real from k synthetic patients, to be read against the floor
    fid_infinity   the distance extrapolated to infinitely many volumes: a straight line in 1 / patients through
                   the sets and smaller subsets of both
    fid_low, high  a 95 % interval over patients: the bootstrap's, shifted by its own bias, since a resample holds
                   fewer different volumes than the set

and, from `kernel`, the blocked KID, precision, recall, density and coverage. Halves, subsets and resamples are drawn by
patient, with all slices, scans and samples of each. A patient in both sets is drawn for both: subsets of different
patients would add a distance that the sets do not have, and the line would end far below zero. All planes share the
draws, so that the mean over planes has an interval of its own.

The line is straight where patients outnumber the dimensions in which features vary; with fewer it removes only part of
the bias, and a distance near zero may come out a little below it.

Source: Chong and Forsyth, arXiv:1911.07023, for the extrapolation (there in samples, here in patients).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from math import nan

import numpy as np
from jaxtyping import Float, Int

from medsyn2.config import EvaluateFidConfig
from medsyn2.evaluation.features.banks import Bank, check_comparable
from medsyn2.evaluation.features.protocols import PLANES
from medsyn2.evaluation.fidelity.frechet import frechet_distance, frechet_distance_of_counts
from medsyn2.evaluation.fidelity.kernel import Slices, kid_between_patients, neighbourhood


def table_rows(window: str, real: Bank, synthetic: Bank, config: EvaluateFidConfig) -> list[dict[str, object]]:
    """Return the rows of one window and source: the three planes and their mean."""
    parts = [f"{window}/{plane}" for plane in PLANES]
    found = fidelity(real, synthetic, parts, num_draws=config.num_draws, neighbours=config.neighbours, seed=config.seed)
    facts = {
        "num_real": len(real.ids),
        "num_synthetic": len(synthetic.ids),
        "num_patients": len(set(real.patients)),
        "protocol": real.facts.protocol["name"],
        "protocol_sha256": real.facts.protocol_sha256[:12],
        "extractor": real.facts.extractor,
        "compares_with": real.facts.comparable,
    }
    return [
        {
            "window": window,
            "condition": synthetic.facts.source,
            "plane": part.removeprefix(f"{window}/"),
            **asdict(row),
            **facts,
        }
        for part, row in found.items()
    ]


MIN_PATIENTS = 4
_SHARES = (1 / 2, 2 / 3, 5 / 6)
_LEVEL = 95.0

Counts = tuple[Int[np.ndarray, " r"], Int[np.ndarray, " s"]]
"""Counts of each real and each synthetic patient."""


@dataclass(frozen=True)
class Fidelity:
    """One row; values undefined with fewer than four patients in a set, or without draws, are NaN."""

    fid: float  # Squared Frechet distance of all real from all synthetic slices
    fid_low: float  # Lower end of its 95 % interval over patients
    fid_high: float  # Upper end
    fid_infinity: float  # Extrapolated to infinitely many patients
    fid_at_floor: float  # Of as many patients as the floor's
    floor: float  # Of real from other patients' real slices
    floor_patients: int  # Patients on each side of the floor
    kid: float  # Kernel distance over pairs of different patients
    kid_se: float  # Its standard error
    precision: float  # This and the next three as in `kernel`
    recall: float  # As above
    density: float  # As above
    coverage: float  # As above
    neighbours: int  # The k of these four


@dataclass(frozen=True)
class Draws:
    """Counts of each patient in each set, for every resample, subset and split."""

    resamples: list[Counts]  # Counts (real, synthetic) of each bootstrap resample
    # Two disjoint halves of the real patients, and the synthetic patients set against the first
    splits: list[tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"], Int[np.ndarray, " s"]]]
    # For each share of the patients, counts (real, synthetic) of the subsets; the last are the sets
    subsets: list[list[Counts]]


def fidelity(
    real: Bank, synthetic: Bank, parts: Sequence[str], *, num_draws: int, neighbours: int, seed: int
) -> dict[str, Fidelity]:
    """Compare two banks in several parts, such as the planes of one window.

    Args:
        num_draws: Resamples for the interval; a quarter as many splits and subsets of each size. 0 draws none.

    Returns:
        A row a part, and their mean under ``mean``.
    """
    check_comparable(real, synthetic)
    draws = draw_patients(real.patients, synthetic.patients, num_draws, np.random.default_rng(seed))
    rows, resampled = {}, []
    for part in parts:
        pair = _Pair(real, synthetic, part)
        resampled.append(np.array([pair.distance(*counts) for counts in draws.resamples]))
        rows[part] = _row(pair, draws, resampled[-1], neighbours)
    mean = {
        field.name: field.type(np.mean([getattr(row, field.name) for row in rows.values()]))
        for field in fields(Fidelity)
        if callable(field.type)
    }
    mean["fid_low"], mean["fid_high"] = _interval(mean["fid"], np.mean(resampled, axis=0))
    return {**rows, "mean": Fidelity(**mean)}


def draw_patients(real: Sequence[str], synthetic: Sequence[str], num_draws: int, rng: np.random.Generator) -> Draws:
    """Draw resamples, splits and subsets of the patients of two sets, each in sorted order."""
    ours, theirs = np.unique(np.array(real)), np.unique(np.array(synthetic))
    if num_draws == 0 or min(len(ours), len(theirs)) < MIN_PATIENTS:
        return Draws([], [], [])
    quarter = max(num_draws // 4, 2)
    resamples = [_resample(ours, theirs, rng) for _ in range(num_draws)]
    splits = [_split(ours, theirs, rng) for _ in range(quarter)]
    subsets = [[_subset(ours, theirs, share, rng) for _ in range(quarter)] for share in _SHARES]
    return Draws(resamples, splits, [*subsets, [_subset(ours, theirs, 1.0, rng)]])


class _Pair:
    """One part of both banks, with the patient of each row."""

    def __init__(self, real: Bank, synthetic: Bank, part: str) -> None:
        self.banks, self.part = (real, synthetic), part
        self.features = [bank.parts[part].features for bank in self.banks]
        self.patient = [bank.patient_of_row(part) for bank in self.banks]

    def distance(self, real: Int[np.ndarray, " r"], synthetic: Int[np.ndarray, " s"]) -> float:
        first, second = self.features
        counts = real[self.patient[0]], synthetic[self.patient[1]]
        return frechet_distance_of_counts(first, second, *counts)

    def real_distance(self, one: Int[np.ndarray, " r"], other: Int[np.ndarray, " r"]) -> float:
        features, patient = self.features[0], self.patient[0]
        return frechet_distance(features[one[patient] > 0], features[other[patient] > 0])

    def slices(self) -> list[Slices]:
        return [
            Slices(bank.parts[self.part].features, bank.parts[self.part].volume, bank.patients) for bank in self.banks
        ]


def _row(pair: _Pair, draws: Draws, resampled: Float[np.ndarray, " b"], neighbours: int) -> Fidelity:
    fid = frechet_distance(*pair.features)
    low, high = _interval(fid, resampled)
    kernel = kid_between_patients(*pair.slices())
    real, synthetic = (bank.volume_means(pair.part) for bank in pair.banks)
    shares = neighbourhood(real, synthetic, neighbours)
    floors = [pair.real_distance(one, other) for one, other, _ in draws.splits]
    at_floor = [pair.distance(one, synthetic) for one, _, synthetic in draws.splits]
    return Fidelity(
        fid,
        low,
        high,
        _extrapolate(pair, draws),
        float(np.mean(at_floor)) if at_floor else nan,
        float(np.mean(floors)) if floors else nan,
        int(draws.splits[0][0].sum()) if draws.splits else 0,
        *astuple(kernel),
        *astuple(shares),
    )


def _interval(value: float, resampled: Float[np.ndarray, " b"]) -> tuple[float, float]:
    if resampled.size < 2:
        return nan, nan
    centred = resampled - resampled.mean() + value
    low, high = np.percentile(centred, [(100 - _LEVEL) / 2, (100 + _LEVEL) / 2])
    return float(max(low, 0.0)), float(high)


def _extrapolate(pair: _Pair, draws: Draws) -> float:
    if not draws.subsets:
        return nan
    # The bias is proportional to the sum of the inverse sizes.
    inverse = [np.mean([sum(1 / count.sum() for count in counts) for counts in alike]) for alike in draws.subsets]
    distances = [np.mean([pair.distance(*counts) for counts in alike]) for alike in draws.subsets]
    return float(np.polynomial.Polynomial.fit(inverse, distances, 1).convert().coef[0])


def _resample(ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator) -> Counts:
    return _by_stratum(ours, theirs, lambda members: rng.choice(members, len(members)))


def _subset(ours: np.ndarray, theirs: np.ndarray, share: float, rng: np.random.Generator) -> Counts:
    return _by_stratum(ours, theirs, lambda members: rng.choice(members, round(share * len(members)), replace=False))


def _by_stratum(
    ours: np.ndarray, theirs: np.ndarray, draw: Callable[[Int[np.ndarray, " m"]], Int[np.ndarray, " n"]]
) -> Counts:
    """Draw from each stratum: patients of both sets, of the real set alone, of the other alone."""
    everyone = np.union1d(ours, theirs)
    counts = np.zeros(len(everyone), np.int64)
    in_ours, in_theirs = np.isin(everyone, ours), np.isin(everyone, theirs)
    for stratum in (in_ours & in_theirs, in_ours & ~in_theirs, ~in_ours & in_theirs):
        members = np.flatnonzero(stratum)
        if len(members):
            np.add.at(counts, draw(members), 1)
    return counts[in_ours], counts[in_theirs]


def _split(
    ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"], Int[np.ndarray, " s"]]:
    """Draw k real patients, k others, and k synthetic ones, preferably the others."""
    size = min(len(ours) // 2, len(theirs))
    order = rng.permutation(len(ours))
    one, other = (np.zeros(len(ours), np.int64) for _ in range(2))
    one[order[:size]] = 1
    other[order[size : 2 * size]] = 1
    shuffled = rng.permutation(len(theirs))
    preferred = np.isin(theirs[shuffled], ours[other > 0]).astype(int) * 2
    preferred -= np.isin(theirs[shuffled], ours[one > 0])
    synthetic = np.zeros(len(theirs), np.int64)
    synthetic[shuffled[np.argsort(-preferred, kind="stable")][:size]] = 1
    return one, other, synthetic
