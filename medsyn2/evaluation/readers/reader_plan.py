"""The verdict of a reader study: one question and one test, which the key fixes before anybody reads.

A study asks several readers several questions about several findings. With a verdict on each, one would come out by
chance. Its verdict is on one question alone, and all other differences are exploration, without a verdict.

    d        match rate of the synthetic cases minus that of the real ones; a case counts with the share of the readers
             to whom it matches
    verdict  non-inferior if the lower end of the two-sided 95 % interval of d lies above minus a margin: one test,
             wrong in at most 2.5 % of studies whose true d is the margin or worse

The test is Farrington and Manning's, inverted for the interval: the error of d is taken where the loss is as large as
tested, since at rates near 1 that of the observed rates is too small, and half a case is taken off d, which moves by
whole ones. Their error is of independent answers; it is multiplied by how much more or less the means over readers vary
with the patient as the unit, whose real and synthetic cases go together. For that factor one case that matches and one
that does not are added to each kind, or readers who agree on all cases would leave no error at all. Student's t has as
many degrees of freedom as patients, less two. The verdict is on these readers; two or three say nothing of others.

The power is simulated by the same test: readers answer by chance at one match rate, alike for both kinds, with a common
part, so that two of them agree about as radiologists do (`AGREEMENT`).

Source: Farrington and Manning, Stat Med 1990; Rao and Scott, Biometrics 1992, for the factor; Obuchowski and Rockette,
Commun Stat 1995, for readers who read the same cases, here fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

LEVEL = 0.025
"""Greatest share of studies with a wrong verdict."""

ANALYSIS = (
    "Match rates are means over readers, the patient is the unit; Farrington and Manning's test with half a case taken "
    "off and Student's t. Non-inferior if the lower end of the two-sided 95 % interval of synthetic minus real lies "
    "above minus the margin; no verdict if a planned case is unread. All other questions, readers and findings are "
    "exploration."
)

AGREEMENT = 0.5
"""Correlation of two readers' tendencies to a match, in the simulation: a kappa of about a third."""

MATCH_RATES = (0.6, 0.75, 0.9)
"""Match rates that the power is simulated at; the paper's readers found 0.65 and 0.52 for real volumes."""

WANTED_POWER = 0.8
_RUNS = 1000
_MULTIPLES = (2, 4, 8, 16)
_HALVINGS = 40


@dataclass(frozen=True)
class Plan:
    """The analysis as the key holds it."""

    question: str  # The question that the verdict is on
    margin: float  # Largest accepted loss of the match rate, such as 0.15
    level: float = LEVEL  # Greatest share of wrong verdicts
    analysis: str = ANALYSIS  # The test and the rule in words

    def verdict(self, low: float, num_unread: int) -> str:
        """Return the word of the study, from the lower end of the interval of its difference."""
        if num_unread:
            return f"no verdict: {num_unread} cases are unread"
        return "non-inferior" if low > -self.margin else "non-inferiority not shown"


@dataclass(frozen=True)
class Cases:
    """The cases of a study, in some order."""

    synthetic: Bool[np.ndarray, " c"]  # Whether each is synthetic
    patients: Int[np.ndarray, " c"]  # Patient of each, counted from 0

    @classmethod
    def of(cls, sources: Sequence[str], patients: Sequence[str]) -> "Cases":
        """Return those of which the source and the patient are given."""
        return cls(np.array(sources) == "synthetic", np.unique(np.array(patients), return_inverse=True)[1])

    @property
    def num_patients(self) -> int:
        """Number of patients."""
        return len(np.unique(self.patients))

    def times(self, multiple: int) -> "Cases":
        """Return so many times as many cases, of other patients each time."""
        shift = np.repeat(np.arange(multiple), len(self.patients)) * (self.patients.max() + 1)
        return Cases(np.tile(self.synthetic, multiple), np.tile(self.patients, multiple) + shift)


@dataclass(frozen=True)
class Difference:
    """Match rate of synthetic minus that of real cases."""

    value: float  # As counted
    low: float  # Lower end of its 95 % interval
    high: float  # Upper end


def match_difference(matches: Float[np.ndarray, "r c"], cases: Cases) -> Difference:
    """Compare the match rates of both kinds.

    Args:
        matches: 1 where a case matches to a reader, 0 where it does not.
    """
    by_case = matches.mean(axis=0)[None]
    exchanged = Cases(~cases.synthetic, cases.patients)
    low, high = -_Rates.of(by_case, cases).least_loss(), _Rates.of(by_case, exchanged).least_loss()
    value = by_case[0, cases.synthetic].mean() - by_case[0, ~cases.synthetic].mean()
    return Difference(float(value), float(low[0]), float(high[0]))


@dataclass(frozen=True)
class _Rates:
    """The match rates of n studies of the same cases."""

    synthetic: Float[np.ndarray, " n"]
    real: Float[np.ndarray, " n"]
    counts: tuple[int, int]  # Synthetic and real cases
    factor: Float[np.ndarray, " n"]  # Variance of the difference over that of independent answers
    quantile: float  # Of the statistic, at the level

    @classmethod
    def of(cls, by_case: Float[np.ndarray, "n c"], cases: Cases) -> "_Rates":
        kinds = cases.synthetic, ~cases.synthetic
        rates = [by_case[:, kind].mean(axis=1) for kind in kinds]
        freedom = max(cases.num_patients - 2, 1)
        quantile = float(stats.t.ppf(1 - LEVEL, freedom))
        counts = int(kinds[0].sum()), int(kinds[1].sum())
        return cls(rates[0], rates[1], counts, _variance_factor(by_case, cases), quantile)

    def statistic(self, loss: Float[np.ndarray, " n"] | float) -> Float[np.ndarray, " n"]:
        """Return how many standard errors the difference lies above a loss."""
        synthetic, real = self._restricted(loss)
        variance = synthetic * (1 - synthetic) / self.counts[0] + real * (1 - real) / self.counts[1]
        above = self.synthetic - self.real + loss - 1 / (2 * min(self.counts))
        return np.asarray(above / np.sqrt(np.maximum(self.factor * variance, np.finfo(float).tiny)))

    def least_loss(self) -> Float[np.ndarray, " n"]:
        """Return the smallest loss that is ruled out, by halving."""
        low, high = np.full_like(self.real, -1.0), np.full_like(self.real, 1.0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            is_out = self.statistic(middle) > self.quantile
            low, high = np.where(is_out, low, middle), np.where(is_out, middle, high)
        return high

    def _restricted(
        self, loss: Float[np.ndarray, " n"] | float
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return the likeliest rates that differ by exactly this loss: Farrington and Manning's cubic."""
        ratio, apart = self.counts[1] / self.counts[0], -np.asarray(loss)
        both = self.synthetic + ratio * self.real
        b = -(1 + ratio + both + apart * (ratio + 2)) / (3 * (1 + ratio))
        c = (apart**2 + apart * (2 * self.synthetic + ratio + 1) + both) / (1 + ratio)
        d = -self.synthetic * apart * (1 + apart) / (1 + ratio)
        v = b**3 - b * c / 2 + d / 2
        u = np.where(v < 0, -1, 1) * np.sqrt(np.maximum(b**2 - c / 3, np.finfo(float).tiny))
        angle = (np.pi + np.arccos(np.clip(v / u**3, -1, 1))) / 3
        synthetic = 2 * u * np.cos(angle) - b
        return np.clip(synthetic, 0, 1), np.clip(synthetic - apart, 0, 1)


def _variance_factor(by_case: Float[np.ndarray, "n c"], cases: Cases) -> Float[np.ndarray, " n"]:
    """Return the variance of the difference by patients over that of independent answers of one reader."""
    added = np.broadcast_to([0.0, 1.0, 0.0, 1.0], (len(by_case), 4))  # of four patients of their own
    values = np.concatenate([by_case, added], axis=1)
    synthetic = np.concatenate([cases.synthetic, [False, False, True, True]])
    patients = np.concatenate([cases.patients, cases.patients.max() + 1 + np.arange(4)])
    rates = [values[:, kind].mean(axis=1, keepdims=True) for kind in (synthetic, ~synthetic)]
    counts = np.count_nonzero(synthetic), np.count_nonzero(~synthetic)
    shares = (values - np.where(synthetic, *rates)) * np.where(synthetic, 1 / counts[0], -1 / counts[1])
    order = np.argsort(patients, kind="stable")
    starts = np.flatnonzero(np.diff(patients[order], prepend=-1))
    influence = np.add.reduceat(shares[:, order], starts, axis=1)
    by_patients = len(starts) / (len(starts) - 1) * np.sum(influence**2, axis=1)
    independent = sum(rate * (1 - rate) / num for rate, num in zip(rates, counts, strict=True))
    return np.asarray(by_patients / np.ravel(independent))


def power(
    cases: Cases,
    num_readers: int,
    margin: float,
    match_rate: float,
    *,
    loss: float = 0.0,
    runs: int = _RUNS,
    seed: int = 0,
) -> float:
    """Return how often a study shows non-inferiority, in simulated answers.

    Args:
        match_rate: Of the real cases.
        loss: What the match rate of the synthetic cases is less; with the margin, the share of wrong verdicts.
    """
    rng = np.random.default_rng(seed)
    rates = np.clip(match_rate - loss * cases.synthetic, 0, 1)
    found = _Rates.of(_draw(rng, rates, num_readers, runs), cases)
    return float(np.mean(found.statistic(margin) > found.quantile))


def wanted_multiple(cases: Cases, num_readers: int, margin: float, match_rate: float) -> int | None:
    """Return how many times as many cases have a power of 80 %; None if 16 times as many have not."""
    for multiple in _MULTIPLES:
        if power(cases.times(multiple), num_readers, margin, match_rate, runs=200) >= WANTED_POWER:
            return multiple
    return None


def _draw(
    rng: np.random.Generator, rates: Float[np.ndarray, " c"], num_readers: int, runs: int
) -> Float[np.ndarray, "n c"]:
    """Draw the share of readers to whom each case matches, of readers who share a part of their opinion of it."""
    common, own = rng.normal(size=(runs, 1, len(rates))), rng.normal(size=(runs, num_readers, len(rates)))
    tendency = np.sqrt(AGREEMENT) * common + np.sqrt(1 - AGREEMENT) * own
    return np.asarray((tendency < stats.norm.ppf(rates)).mean(axis=1))
