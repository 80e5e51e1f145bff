"""A row of Table 1: the Frechet distance with the numbers needed to read it.

The distance of few volumes is large whatever they are, for its bias grows as 1 / volumes, so that two values compare
only at equal counts. Each is therefore given with

    floor          the distance of real volumes from other patients' real volumes, k against k patients
    fid_at_floor   the distance of k real from k synthetic patients, to be read against the floor
    fid_infinity   the distance extrapolated to infinitely many volumes: a straight line in 1 / patients through
                   the sets and smaller subsets of both
    fid_low, high  a 95 % interval over patients, by their influences and Student's t

and, from `kernel`, the blocked KID, precision, recall, density and coverage, the distance of `mmd` with its floor, and
the variety of `variety`. Below the floor is no triumph: a ``flag`` says where a set has too little variety, or lies
nearer than real volumes ever do. Real volumes have a row with all of these too: one half of the patients against the
other.

The interval (`patients`) covers the distance that is expected at this number of patients, not the one at infinitely
many. Halves and subsets are drawn by patient, with all slices, scans and samples of each. A patient in both sets is
drawn for both: subsets of different patients would add a distance that the sets do not have, and the line would end far
below zero. The moments of a group of patients are computed once for all subsets that hold it.

The line is straight where patients outnumber the dimensions in which features vary; with fewer it removes only part of
the bias, and a distance near zero may come out a little below it.

Source: Chong and Forsyth, arXiv:1911.07023, for the extrapolation (there in samples, here in patients).
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from functools import cached_property
from math import nan

import numpy as np
from jaxtyping import Bool, Float, Int

from medsyn2.config import EvaluateFidConfig
from medsyn2.evaluation.features.banks import Bank, check_comparable
from medsyn2.evaluation.features.frechet import Gaussian, distance_of_gaussians, influences
from medsyn2.evaluation.features.protocols import PLANES
from medsyn2.evaluation.fidelity.kernel import kid_between_patients, neighbourhood
from medsyn2.evaluation.fidelity.mmd import Mmd, mmd
from medsyn2.evaluation.fidelity.patients import Draws, Patients, draw_patients, interval
from medsyn2.evaluation.fidelity.variety import variety
from medsyn2.evaluation.fidelity.views import View, Views
from medsyn2.facts import REAL


def table_rows(window: str, real: Views, synthetic: Views, config: EvaluateFidConfig) -> list[dict[str, object]]:
    """Return the rows of one window and source: the three planes and their mean."""
    parts = [f"{window}/{plane}" for plane in PLANES]
    found = fidelity(real, synthetic, parts, num_draws=config.num_draws, neighbours=config.neighbours, seed=config.seed)
    facts = {
        "num_real": len(real.bank.ids),
        "num_synthetic": len(synthetic.bank.ids),
        "num_patients": len(set(real.bank.patients)),
        "num_shared_patients": len({*real.bank.patients} & {*synthetic.bank.patients}),
        "protocol": real.bank.facts.protocol["name"],
        "protocol_sha256": real.bank.facts.protocol_sha256[:12],
        "extractor": real.bank.facts.extractor,
        "compares_with": real.bank.facts.comparable,
    }
    return [
        {
            "window": window,
            "condition": synthetic.bank.facts.source,
            "plane": part.removeprefix(f"{window}/"),
            **asdict(row),
            "flag": row.flag,
            **facts,
        }
        for part, row in found.items()
    ]


def real_rows(window: str, real: Bank, config: EvaluateFidConfig) -> list[dict[str, object]]:
    """Return the rows of one half of the real patients against the other; none of a single patient."""
    pair = halves(real, config.seed)
    if pair is None:
        return []
    return [{**row, "condition": REAL} for row in table_rows(window, Views(pair[0]), Views(pair[1]), config)]


def halves(real: Bank, seed: int) -> tuple[Bank, Bank] | None:
    """Return the volumes of one half of the patients and those of the other; None of a single patient."""
    patients = np.unique(real.patients)
    if len(patients) < 2:
        return None
    dealt = np.random.default_rng(seed).permutation(patients)
    one, other = (real.of_patients(set(part.tolist())) for part in np.array_split(dealt, 2))
    return one, other


COPIED_SHARE = 0.1
"""Share of the floor below which a distance tells of copies: of as many patients the floor is, by its bias, about twice
the distance that a perfect generator has, and no set of other patients comes near a tenth of it."""

_HALVES = ((0, 1, 2), (3, 4, 5))
_TWO_THIRDS = ((0, 1, 2, 3), (0, 1, 4, 5), (2, 3, 4, 5))


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
    mmd: float  # Kernel distance of volumes that sees means and spread, as in `mmd`
    mmd_floor: float  # What one dealing of the patients in twenty exceeds
    mmd_p: float  # Share of dealings with as large a distance
    precision: float  # This and the next three as in `kernel`
    recall: float  # As above
    density: float  # As above
    coverage: float  # As above
    neighbours: int  # The k of these four
    variety: float  # Mean distance between volumes over that of real ones
    variety_low: float  # Lower end of its 95 % interval over patients
    variety_high: float  # Upper end

    @property
    def flag(self) -> str:
        """Words for a distance that is too small to be good; empty if there is nothing to say."""
        words = []
        if self.variety_high < 1:
            words.append("less variety than real volumes")
        if self.fid < COPIED_SHARE * self.floor:
            words.append("nearer than real volumes ever are: see memorisation.csv")
        return "; ".join(words)


def fidelity(
    real: Views, synthetic: Views, parts: Sequence[str], *, num_draws: int, neighbours: int, seed: int
) -> dict[str, Fidelity]:
    """Compare two banks in several parts, such as the planes of one window.

    Args:
        num_draws: Splits for the floor, and divisions for the extrapolation. 0 leaves both out.

    Returns:
        A row a part, and their mean under ``mean``.
    """
    check_comparable(real.bank, synthetic.bank)
    patients = Patients.of(real.bank.patients, synthetic.bank.patients)
    draws = draw_patients(patients, num_draws, np.random.default_rng(seed))
    rows, found, dealt = {}, [], []
    owners = real.bank.patients, synthetic.bank.patients
    for part in parts:
        pair = _Pair(real.of(part), synthetic.of(part), patients)
        found.append(pair.influences())
        dealt.append(mmd(pair.real.view.points, pair.synthetic.view.points, owners, seed))
        rows[part] = _row(pair, draws, interval(pair.fid, found[-1], patients), dealt[-1], neighbours)
    mean = {
        field.name: field.type(np.mean([getattr(row, field.name) for row in rows.values()]))
        for field in fields(Fidelity)
        if callable(field.type)
    }
    mean["fid_low"], mean["fid_high"] = interval(mean["fid"], np.mean(found, axis=0), patients)
    both = Mmd.mean(dealt)
    mean |= {"mmd_floor": both.floor, "mmd_p": both.p}
    return {**rows, "mean": Fidelity(**mean)}


class _Side:
    """One part of one bank in a comparison: the patient of each row is counted among those of both sets."""

    def __init__(self, view: View, is_in: Bool[np.ndarray, " p"]) -> None:
        self.view = view
        self.patient = np.flatnonzero(is_in)[view.patient_of_row]

    def of_patients(self, chosen: Bool[np.ndarray, " p"]) -> Gaussian:
        return self.of_groups(chosen.astype(int), (1,))

    def of_groups(self, division: Int[np.ndarray, " p"], groups: Sequence[int]) -> Gaussian:
        return self.view.gaussian_of(division[self.patient], groups)


class _Pair:
    """One part of both banks."""

    def __init__(self, real: View, synthetic: View, patients: Patients) -> None:
        self.real, self.synthetic = _Side(real, patients.in_real), _Side(synthetic, patients.in_synthetic)
        self.patients = patients

    @cached_property
    def gaussians(self) -> tuple[Gaussian, Gaussian]:
        return self.real.view.gaussian, self.synthetic.view.gaussian

    @cached_property
    def fid(self) -> float:
        return distance_of_gaussians(*self.gaussians)

    def influences(self) -> Float[np.ndarray, " p"]:
        """Return the influence of each patient on the distance."""
        sets = self.real, self.synthetic
        found = influences(self.real.view.features, self.synthetic.view.features, self.gaussians)
        sums = [
            np.bincount(one.patient, weights=of_rows, minlength=len(self.patients.in_real))
            for one, of_rows in zip(sets, found, strict=True)
        ]
        return sums[0] + sums[1]

    def subsets(self, division: Int[np.ndarray, " p"]) -> Float[np.ndarray, "s 2"]:
        """Return the inverse size and the distance of each subset of a division."""
        found = []
        for groups in (*_HALVES, *_TWO_THIRDS):
            pair = (one.of_groups(division, groups) for one in (self.real, self.synthetic))
            found.append((self.patients.inverse_size(np.isin(division, groups)), distance_of_gaussians(*pair)))
        return np.array(found)


def _row(pair: _Pair, draws: Draws, ends: tuple[float, float], dealt: Mmd, neighbours: int) -> Fidelity:
    real, synthetic = pair.real.view, pair.synthetic.view
    kernel = kid_between_patients(real.slices, synthetic.slices)
    patients = real.slices.patient, synthetic.slices.patient
    shares = neighbourhood(real.points, synthetic.points, patients, neighbours)
    spread = variety(real.points, synthetic.points, patients)
    floor, at_floor = _floors(pair, draws)
    return Fidelity(
        pair.fid,
        *ends,
        _extrapolate(pair, draws.divisions),
        at_floor,
        floor,
        int(draws.splits[0].one.sum()) if draws.splits else 0,
        *(*astuple(kernel), dealt.value, dealt.floor, dealt.p),
        *astuple(shares),
        *astuple(spread),
    )


def _floors(pair: _Pair, draws: Draws) -> tuple[float, float]:
    """Return the mean distances of real patients from other real ones, and from as many synthetic ones."""
    if not draws.splits:
        return nan, nan
    found = []
    for split in draws.splits:
        one = pair.real.of_patients(split.one)
        others = pair.real.of_patients(split.other), pair.synthetic.of_patients(split.synthetic)
        found.append([distance_of_gaussians(one, other) for other in others])
    floor, at_floor = np.mean(found, axis=0).tolist()
    return floor, at_floor


def _extrapolate(pair: _Pair, divisions: Sequence[Int[np.ndarray, " p"]]) -> float:
    if not divisions:
        return nan
    subsets = np.mean([pair.subsets(division) for division in divisions], axis=0)
    whole = pair.patients.inverse_size(np.ones_like(divisions[0], bool)), pair.fid
    sizes = subsets[: len(_HALVES)], subsets[len(_HALVES) :], np.array([whole])
    inverse, distances = np.array([alike.mean(axis=0) for alike in sizes]).T
    return float(np.polynomial.Polynomial.fit(inverse, distances, 1).convert().coef[0])
