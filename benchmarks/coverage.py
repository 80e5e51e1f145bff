"""How often the 95 % intervals of the tables hold the true value: simulated patients, networks and pairs.

    python benchmarks/coverage.py                  # the table of docs/reference/benchmarks.md, in nine minutes
    python benchmarks/coverage.py --runs 200

A row is a kind of interval, the distribution of what patients are, and their number. ``volumes`` have one to six values
a patient, which share half of their variance. ``ratio`` is that of two means, the second over pairs of patients;
``above shuffled`` the difference of such means; ``training`` the mean of three networks of one training set,
``trainings`` the difference of two equal ones of five networks each. ``OTHERS`` are values that patients have no single
number of, of one to six volumes a patient: shares of hits, the agreement of two readers, areas under the curve of
labels that are scored a standard deviation apart, scores of reports above shuffled ones, and the Frechet distance and
the variety of volumes of other patients, which lie apart and are spread less. The distance that is expected of so many
patients, which its interval is of, is itself the mean of 4,000 simulated ones. The standard error of a coverage is
0.5 % at 2,000 runs.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import isnan, nan
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.size import compare_banks, draw_banks, embeddings, judgements, owners
from medsyn2.evaluation.features.frechet import frechet_distance
from medsyn2.evaluation.readers.reader_study import agreements
from medsyn2.evaluation.statistics.classification import compare, intervals, labels_to_judge
from medsyn2.evaluation.statistics.intervals import (
    NONE,
    Interval,
    interval,
    mean_influence,
    mean_interval,
    ratio_interval,
    training_interval,
)
from medsyn2.evaluation.statistics.raters import wilson_over_patients
from medsyn2.evaluation.text.clip import EMBEDDING, pair_score

Draw = Callable[[np.random.Generator, int], np.ndarray]
Run = tuple[Interval, float]
"""An interval, and the true value that it should hold."""


@dataclass(frozen=True)
class Distribution:
    """Values of patients, and their mean."""

    draw: Draw
    mean: float


DISTRIBUTIONS: Mapping[str, Distribution] = {
    "normal": Distribution(lambda rng, n: rng.normal(0.8, 0.1, n), 0.8),
    "exponential": Distribution(lambda rng, n: rng.exponential(1.0, n), 1.0),
    "log-normal, sd 0.5": Distribution(lambda rng, n: rng.lognormal(0.0, 0.5, n), float(np.exp(0.125))),
    "beta 8, 2": Distribution(lambda rng, n: rng.beta(8, 2, n), 0.8),
    "beta 2, 0.5": Distribution(lambda rng, n: rng.beta(2, 0.5, n), 0.8),
}
PATIENTS = (5, 10, 30)
_NETWORKS = 5
_NETWORK_SD = 0.03
_SPREAD = 0.8


def of_mean(rng: np.random.Generator, kind: Distribution, num: int) -> Run:
    """One value a patient."""
    return mean_interval(pd.Series(kind.draw(rng, num)), pd.Series(range(num))), kind.mean


def of_volumes(rng: np.random.Generator, kind: Distribution, num: int) -> Run:
    """One to six values a patient, half of their variance between patients."""
    owners = np.repeat(np.arange(num), rng.integers(1, 7, num))
    apart, own = kind.draw(rng, num)[owners], kind.draw(rng, len(owners))
    values = kind.mean + (apart + own - 2 * kind.mean) / np.sqrt(2)
    return mean_interval(pd.Series(values), pd.Series(owners)), kind.mean


def _pairs(rng: np.random.Generator, kind: Distribution, num: int) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Values of each patient with the next five, as far as there are others: the product of what each is."""
    first, second = kind.draw(rng, num) / kind.mean, kind.draw(rng, num) / kind.mean
    rows = np.repeat(np.arange(num), min(5, num - 1))
    columns = (rows + 1 + np.arange(len(rows)) % min(5, num - 1)) % num
    return tuple(pd.Series(one) for one in (first[rows] * second[columns], rows, columns))  # type: ignore[return-value]


def of_ratio(rng: np.random.Generator, kind: Distribution, num: int) -> Run:
    """The mean of a value a patient over that of pairs of patients."""
    own = pd.Series(0.4 * kind.draw(rng, num) / kind.mean), pd.Series(range(num))
    return ratio_interval(own, _pairs(rng, kind, num))[1], 0.4


def of_difference(rng: np.random.Generator, kind: Distribution, num: int) -> Run:
    """The mean of a value a patient minus that of pairs of patients."""
    own, pairs = pd.Series(kind.draw(rng, num) / kind.mean), _pairs(rng, kind, num)
    influence = mean_influence(own, pd.Series(range(num))) - mean_influence(*pairs)
    return interval(float(own.mean() - pairs[0].mean()), influence), 0.0


def of_training(rng: np.random.Generator, kind: Distribution, num: int) -> Run:
    """Three networks of a training set, whose error is as large as that of the patients."""
    networks = float(kind.draw(rng, 1000).std()) * np.sqrt(3 / num) * rng.normal(size=(3, 1))
    values = kind.draw(rng, num) + networks
    by_patient, patients = pd.Series(values.mean(axis=0)), pd.Series(range(num))
    influence = mean_influence(by_patient, patients)
    return training_interval(float(values.mean()), influence, [values.mean(axis=1)]), kind.mean


def of_trainings(rng: np.random.Generator, kind: Distribution, num: int) -> Run:
    """Two training sets that are equally good, with networks of their own."""
    common = kind.draw(rng, num)
    first, second = (
        common + _NETWORK_SD * (rng.normal(size=(_NETWORKS, 1)) + 0.7 * rng.normal(size=(_NETWORKS, num)))
        for _ in range(2)
    )
    apart = pd.Series(first.mean(axis=0) - second.mean(axis=0))
    influence = mean_influence(apart, pd.Series(range(num)))
    return training_interval(float(apart.mean()), influence, [first.mean(axis=1), second.mean(axis=1)]), 0.0


KINDS: Mapping[str, Callable[[np.random.Generator, Distribution, int], Run]] = {
    "mean": of_mean,
    "mean, volumes": of_volumes,
    "ratio": of_ratio,
    "above shuffled": of_difference,
    "training": of_training,
    "trainings": of_trainings,
}


def of_share(rng: np.random.Generator, num: int) -> Run:
    """Hits of volumes whose patients have chances of their own."""
    patients = owners(rng, num)
    hits = rng.random(len(patients)) < rng.beta(4, 1, num)[patients]
    return wilson_over_patients(pd.Series(hits), pd.Series(patients)), 0.8


def of_kappa(rng: np.random.Generator, num: int) -> Run:
    """Two readers, the second of whom repeats the first in six of ten cases and guesses in the others."""
    first, other = (rng.choice(["match", "partial", "not"], num, p=[0.5, 0.3, 0.2]) for _ in range(2))
    second = np.where(rng.random(num) < 0.6, first, other)
    cases = {"source": "real", "patient": [str(case) for case in range(num)], "case": range(num), "again": False}
    readings = [pd.DataFrame({**cases, "reader": reader, "finding": of}) for reader, of in ((1, first), (2, second))]
    row = agreements(pd.concat(readings, ignore_index=True)).iloc[0]
    return (row["kappa_low"], row["kappa_high"]), 0.6


def of_auroc(rng: np.random.Generator, num: int) -> Run:
    """Labels that are scored a standard deviation higher where they are present."""
    [one] = judgements(rng, num, (1.0,))
    labels = labels_to_judge(one.truth, one.patients)
    return (intervals(one.of_labels(labels))["auroc"] if labels else NONE), float(stats.norm.cdf(1 / np.sqrt(2)))


def of_auroc_difference(rng: np.random.Generator, num: int) -> Run:
    """The same labels found as well in two volumes of each case."""
    first, second = judgements(rng, num, (1.0, 1.0))
    labels = labels_to_judge(first.truth, first.patients)
    if not labels:
        return NONE, 0.0
    return compare(first.of_labels(labels), second.of_labels(labels), level=0.95).ends["auroc"], 0.0


def of_fit(rng: np.random.Generator, num: int) -> Run:
    """The score above shuffled pairs of volumes that have nothing of their reports."""
    text, real = embeddings(rng, num, (0.0,))
    found = pair_score(real, text, seed=0)
    return (found.above_shuffled_low, found.above_shuffled_high), 0.0


def of_distance(rng: np.random.Generator, num: int) -> Run:
    """The Frechet distance of volumes that lie apart and are spread less."""
    found = compare_banks(draw_banks(rng, num, _narrow), num_draws=0)
    return (found.fid_low, found.fid_high), _mean_distance(num)


def of_variety(rng: np.random.Generator, num: int) -> Run:
    """The variety of the same volumes."""
    found = compare_banks(draw_banks(rng, num, _narrow), num_draws=0)
    return (found.variety_low, found.variety_high), _SPREAD


def _narrow(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    return np.asarray(_SPREAD * made + 0.3)


@cache
def _mean_distance(num: int) -> float:
    rng = np.random.default_rng(1)
    banks = (draw_banks(rng, num, _narrow) for _ in range(4000))
    parts = ([one.parts[EMBEDDING].features for one in pair] for pair in banks)
    return float(np.mean([frechet_distance(*pair) for pair in parts]))


OTHERS: Mapping[str, Callable[[np.random.Generator, int], Run]] = {
    "share": of_share,
    "kappa": of_kappa,
    "AUROC": of_auroc,
    "AUROC, difference": of_auroc_difference,
    "CLIP above shuffled": of_fit,
    "FID": of_distance,
    "variety": of_variety,
}


def coverage(kind: str, distribution: str, num: int, runs: int, seed: int = 0) -> float:
    """Return the share of simulated intervals that hold the true value; NaN where four of five tables have none."""
    rng = np.random.default_rng(seed)
    if kind in OTHERS:
        found = [OTHERS[kind](rng, num) for _ in range(runs)]
    else:
        found = [KINDS[kind](rng, DISTRIBUTIONS[distribution], num) for _ in range(runs)]
    held = [ends[0] <= true <= ends[1] for ends, true in found if not np.isnan(ends[0])]
    return float(np.mean(held)) if len(held) >= runs / 5 else nan


def rows(runs: int) -> Iterator[tuple[str, str, dict[int, float]]]:
    """Yield each kind of interval and distribution with its coverage by the number of patients."""
    for kind, distribution in (*product(KINDS, DISTRIBUTIONS), *product(OTHERS, ("",))):
        yield kind, distribution, {num: coverage(kind, distribution, num, runs) for num in PATIENTS}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulated tables a figure (default: %(default)s)")
    runs = parser.parse_args().runs
    print("| interval | patients are | " + " | ".join(f"{num} patients" for num in PATIENTS) + " |")
    print("|---|---|" + "---|" * len(PATIENTS))
    for kind, distribution, shares in rows(runs):
        cells = " | ".join("none" if isnan(share) else f"{100 * share:.1f} %" for share in shares.values())
        print(f"| {kind} | {distribution} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
