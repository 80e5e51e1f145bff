"""How often the 95 % intervals of the tables hold the true value: simulated patients, networks and pairs.

    python benchmarks/coverage.py                  # the table of docs/reference/benchmarks.md, in about three minutes
    python benchmarks/coverage.py --runs 200

A row is a kind of interval, the distribution of what patients are, and their number. ``volumes`` have one to six values
a patient, which share half of their variance. ``ratio`` is that of two means, the second over pairs of patients;
``above shuffled`` the difference of such means; ``trainings`` the difference of two equal training sets of five
networks each. The standard error of a coverage is 0.5 % at 2,000 runs.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from medsyn2.evaluation.statistics.intervals import (
    Interval,
    interval,
    mean_influence,
    mean_interval,
    ratio_interval,
    training_interval,
)

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
    "trainings": of_trainings,
}


def coverage(kind: str, distribution: str, num: int, runs: int, seed: int = 0) -> float:
    """Return the share of simulated intervals that hold the true value."""
    rng = np.random.default_rng(seed)
    found = (KINDS[kind](rng, DISTRIBUTIONS[distribution], num) for _ in range(runs))
    return float(np.mean([ends[0] <= true <= ends[1] for ends, true in found]))


def rows(runs: int) -> Iterator[tuple[str, str, dict[int, float]]]:
    """Yield each kind of interval and distribution with its coverage by the number of patients."""
    for kind in KINDS:
        for distribution in DISTRIBUTIONS:
            yield kind, distribution, {num: coverage(kind, distribution, num, runs) for num in PATIENTS}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulated tables a figure (default: %(default)s)")
    runs = parser.parse_args().runs
    print("| interval | patients are | " + " | ".join(f"{num} patients" for num in PATIENTS) + " |")
    print("|---|---|" + "---|" * len(PATIENTS))
    for kind, distribution, shares in rows(runs):
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares.values())
        print(f"| {kind} | {distribution} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
