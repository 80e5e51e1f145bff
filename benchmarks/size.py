"""How often the verdicts of the tables are wrong where there is nothing to find, and how often they find an effect.

    python benchmarks/size.py                  # the table of docs/reference/benchmarks.md
    python benchmarks/size.py --runs 100

A row is a verdict with its stated level. *size* is the share of simulated tables without an effect that have the
verdict, *power* that of tables with the effect in the last column. Patients have one to six volumes, which share half
of their variance. The standard error of a size of 5 % is 0.7 % at 1,000 runs.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.features.indices import INDICES
from medsyn2.evaluation.fidelity.fidelity import Fidelity, fidelity
from medsyn2.evaluation.fidelity.indices import ALL_INDICES, judge_indices
from medsyn2.evaluation.fidelity.views import Views
from medsyn2.evaluation.memorisation.copies import Points, Search
from medsyn2.evaluation.readers.reader_plan import Cases, power
from medsyn2.evaluation.statistics import paired
from medsyn2.evaluation.statistics.classification import Judgement, compare, intervals, labels_to_judge
from medsyn2.evaluation.statistics.intervals import mean_influence, training_interval
from medsyn2.evaluation.text.clip import EMBEDDING, fit_difference, pair_score
from medsyn2.evaluation.text.verdicts import ABOVE, ABOVE_CHANCE, BELOW, family_level, sight, verdict
from medsyn2.facts import REAL

PATIENTS = (5, 10, 30)
_MOST_VOLUMES = 6
_WIDTH = 20
"""Dimensions of simulated thumbnails and features."""
_TRAINING = 40
"""Training patients of the search for copies."""
_LABELS = 6

Random = np.random.Generator


def owners(rng: Random, num: int) -> np.ndarray:
    """The patient of each volume, of one to six a patient."""
    return np.repeat(np.arange(num), rng.integers(1, _MOST_VOLUMES + 1, num))


def volumes(rng: Random, patients: np.ndarray, width: int) -> np.ndarray:
    """A vector a volume; those of a patient share half of the variance."""
    apart = rng.normal(size=(patients.max() + 1, width))[patients]
    return np.asarray((apart + rng.normal(size=apart.shape)) / np.sqrt(2))


def names(patients: np.ndarray, prefix: str) -> tuple[str, ...]:
    """Names of the patients of each volume."""
    return tuple(f"{prefix}{patient:03d}" for patient in patients)


def bank(rows: np.ndarray, patients: tuple[str, ...], kind: str, ids: tuple[str, ...] | None = None) -> Bank:
    """A bank with a row a volume."""
    facts = BankFacts(kind, kind, "simulated", "0", "itself", {}, "0", (-1000.0, 1000.0), None)  # type: ignore[arg-type]
    known = ids or tuple(f"{patient}_{index}" for index, patient in enumerate(patients))
    part = Part(rows.astype(np.float32), np.arange(len(rows), dtype=np.int32))
    return Bank(facts, known, patients, {EMBEDDING: part})


def copies(rng: Random, num: int, *, effect: bool) -> bool:
    """A p of the search for copies under 5 %; with the effect, a third of the samples are copies."""
    train = names(np.arange(_TRAINING), "t")
    held_out, sampled = owners(rng, num), owners(rng, num)
    places = [volumes(rng, patients, _WIDTH) for patients in (np.arange(_TRAINING), held_out, sampled)]
    if effect:
        copied = rng.random(len(sampled)) < 1 / 3
        noise = 0.3 * rng.normal(size=places[2].shape)
        places[2][copied] = (places[0][rng.integers(0, _TRAINING, len(sampled))] + noise)[copied]
    search = Search(Points(places[0], train), Points(places[1], names(held_out, "h")))
    return search.memorisation(Points(places[2], names(sampled, "s"))).chance.p <= 0.05


def draw_banks(rng: Random, num: int, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[Bank, Bank]:
    """Real volumes, and changed volumes of other patients."""
    patients = owners(rng, num), owners(rng, num)
    real, others = (volumes(rng, one, _WIDTH) for one in patients)
    made = change(others, real)
    kept = patients[1] if made is not real else patients[0]
    return bank(real, names(patients[0], "r"), "real"), bank(made, names(kept, "s"), "synthetic")


def compare_banks(banks: tuple[Bank, Bank], num_draws: int) -> Fidelity:
    """The row of Table 1 of real and synthetic volumes."""
    return fidelity(*map(Views, banks), [EMBEDDING], num_draws=num_draws, neighbours=5, seed=0)[EMBEDDING]


def flags(rng: Random, num: int, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> str:
    """The flag of a Frechet distance between real volumes and changed volumes of other patients."""
    return compare_banks(draw_banks(rng, num, change), num_draws=4).flag


def little_variety(rng: Random, num: int, *, effect: bool) -> bool:
    """The flag of too little variety; with the effect, the spread is 0.6 of the real one."""
    return "variety" in flags(rng, num, lambda made, real: 0.6 * made if effect else made)


def too_near(rng: Random, num: int, *, effect: bool) -> bool:
    """The flag of a distance below all floors; with the effect, the volumes are the real ones."""
    return "nearer" in flags(rng, num, lambda made, real: real if effect else made)


def indices(rng: Random, num: int, *, effect: bool) -> bool:
    """A flag of any index; with the effect, one of them is six deviations higher."""
    frames = []
    for source in (REAL, "synthetic"):
        patients = owners(rng, num)
        # Log-normal, or the correlations of thumbnails: such as their scales expect them.
        values = 0.3 * volumes(rng, patients, len(ALL_INDICES))
        values[:, 0] += 6 * 0.3 * (effect and source != REAL)
        measured = {
            name: np.exp(column) if name in INDICES else np.tanh(column)
            for name, column in zip(ALL_INDICES, values.T, strict=True)
        }
        frames.append(pd.DataFrame({"case": patients, "patient": patients, "source": source, **measured}))
    table, _ = judge_indices(pd.concat(frames, ignore_index=True))
    return bool((table["flag"] != "").any())


def variants(rng: Random, num: int, *, effect: bool) -> bool:
    """A difference of two models whose interval leaves out 0; with the effect, of 0.7 of a patient's deviation."""
    patients = owners(rng, num)
    difference = 0.7 * effect + volumes(rng, patients, 1)[:, 0]
    common = {"measure": "dice", "part": "lobes", "subject": patients, "item": np.arange(len(patients))}
    frames = [
        pd.DataFrame({**common, "variant": name, "value": of}) for name, of in (("main", 0.0), ("other", difference))
    ]
    row = paired.compare(pd.concat(frames), "main").set_index("variant").loc["other"]
    return bool(row["low"] > 0 or row["high"] < 0)


def trainings(rng: Random, num: int, *, effect: bool) -> bool:
    """A difference of two training sets of five networks that leaves out 0; with the effect, of 0.1 Dice."""
    patients = rng.normal(0.8, 0.1, num)
    first, second = (patients + 0.03 * (rng.normal(size=(5, 1)) + 0.7 * rng.normal(size=(5, num))) for _ in range(2))
    apart = pd.Series((second + 0.1 * effect - first).mean(axis=0))
    influence = mean_influence(apart, pd.Series(range(num)))
    by_network = [one.mean(axis=1) for one in (first, second)]
    low, high = training_interval(float(apart.mean()), influence, by_network)
    return bool(low > 0 or high < 0)


def readers(rng: Random, num: int, *, effect: bool) -> bool:
    """The verdict "non-inferior" at 15 %, of two readers; at a loss of 15 %, and with the effect of none."""
    sides = [owners(rng, num), owners(rng, num)]
    cases = Cases(np.repeat([False, True], [*map(len, sides)]), np.concatenate([sides[0], sides[1] + num]))
    rate = float(rng.choice([0.6, 0.75, 0.9, 1.0]))
    return power(cases, 2, 0.15, rate, loss=0.0 if effect else 0.15, runs=1, seed=int(rng.integers(2**32))) == 1


def judgements(rng: Random, num: int, signals: tuple[float, ...]) -> list[Judgement]:
    """Labels of volumes of the same cases, found with so many standard deviations between present and absent."""
    patients = owners(rng, num)
    truth = volumes(rng, patients, _LABELS) > 0.2
    hardness = volumes(rng, patients, _LABELS)
    found = []
    for signal in signals:
        scores = signal * truth + (hardness + rng.normal(size=truth.shape)) / np.sqrt(2)
        found.append(Judgement(scores, truth, scores > signal / 2, names(patients, "p")))
    return found


def zero_shot(rng: Random, num: int, *, effect: bool) -> bool:
    """A word on any of three sources beside equally good real volumes; with the effect, one finds nothing."""
    real, *others = judgements(rng, num, (1.5, 1.5, 1.5, 0.0 if effect else 1.5))
    labels = labels_to_judge(real.truth, real.patients)
    if not labels:
        return False
    found = [compare(one.of_labels(labels), real.of_labels(labels), level=family_level(len(others))) for one in others]
    return any(verdict(one.adjusted, one.reference, 0.5) in {ABOVE, BELOW} for one in found)


def zero_shot_space(rng: Random, num: int, *, effect: bool) -> bool:
    """The word that a space finds labels in real volumes; with the effect, it does, by 1.5 standard deviations."""
    [real] = judgements(rng, num, (1.5 if effect else 0.0,))
    labels = labels_to_judge(real.truth, real.patients)
    return bool(labels) and sight(intervals(real.of_labels(labels))["auroc"], 0.5) == ABOVE_CHANCE


def embeddings(rng: Random, num: int, fits: tuple[float, ...]) -> list[Bank]:
    """Reports, and volumes of the same cases that share so much of the reports' direction."""
    patients = owners(rng, num)
    text, known = volumes(rng, patients, _WIDTH), names(patients, "p")
    found = [bank(text, known, "real")]
    for fit in fits:
        found.append(bank(fit * text + volumes(rng, patients, _WIDTH), known, "real"))
    return found


def clip(rng: Random, num: int, *, effect: bool) -> bool:
    """A word on any of three sources beside equally good real volumes; with the effect, one fits no report."""
    text, real, *others = embeddings(rng, num, (1.0, 1.0, 1.0, 0.0 if effect else 1.0))
    found = [fit_difference(one, real, text, level=family_level(len(others))) for one in others]
    return any(verdict(one.adjusted, one.real, 0.0) in {ABOVE, BELOW} for one in found)


def clip_space(rng: Random, num: int, *, effect: bool) -> bool:
    """The word that a space tells real volumes' reports apart; with the effect, it does."""
    text, real = embeddings(rng, num, (1.0 if effect else 0.0,))
    score = pair_score(real, text, seed=0)
    return sight((score.above_shuffled_low, score.above_shuffled_high), 0.0) == ABOVE_CHANCE


def clip_z(rng: Random, num: int, *, effect: bool) -> bool:
    """A z of the score beyond 1.96; with the effect, volumes fit their reports."""
    text, real = embeddings(rng, num, (1.0 if effect else 0.0,))
    return abs(pair_score(real, text, seed=0).z) > 1.96


@dataclass(frozen=True)
class Verdict:
    """A verdict, its stated level, and a simulated table of so many patients that has it or not."""

    level: float
    runs: Callable[..., bool]
    effect: str


# Intervals without a verdict are held to the least coverage that `coverage.py` allows them, 90 %.
VERDICTS: Mapping[str, Verdict] = {
    "copies: p of 5 %": Verdict(0.05, copies, "a third of the samples copied"),
    "flag: too little variety": Verdict(0.05, little_variety, "0.6 of the spread"),
    "flag: nearer than real": Verdict(0.05, too_near, "the real volumes themselves"),
    "indices: any flag": Verdict(0.05, indices, "one index shifted by 6 standard deviations"),
    "variants: interval without 0": Verdict(0.1, variants, "0.7 standard deviations"),
    "augmentation: interval without 0": Verdict(0.1, trainings, "0.1 Dice"),
    "readers: non-inferior": Verdict(0.025, readers, "no loss"),
    "zero-shot: a word on three sources": Verdict(0.05, zero_shot, "one source finds nothing"),
    "zero-shot: the space sees": Verdict(0.05, zero_shot_space, "AUROC 0.86"),
    "CLIP: a word on three sources": Verdict(0.05, clip, "one source fits nothing"),
    "CLIP: the space sees": Verdict(0.05, clip_space, "cosine 0.7"),
    "CLIP: z beyond 1.96": Verdict(0.05, clip_z, "cosine 0.7"),
}


def share(name: str, num: int, runs: int, *, effect: bool, seed: int = 0) -> float:
    """Return the share of simulated tables that have the verdict."""
    rng = np.random.default_rng([seed, num, effect])
    return float(np.mean([VERDICTS[name].runs(rng, num, effect=effect) for _ in range(runs)]))


def rows(runs: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """Yield each verdict with its size and its power by the number of patients."""
    for name in VERDICTS:
        size = [share(name, num, runs, effect=False) for num in PATIENTS]
        yield name, size, [share(name, num, runs // 3, effect=True) for num in PATIENTS]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", type=int, default=1000, help="tables a size, thrice those a power (default: %(default)s)"
    )
    runs = parser.parse_args().runs
    of = ", ".join(str(num) for num in PATIENTS)
    print(f"| verdict | level | size with {of} patients | power | with |")
    print("|---|---|---|---|---|")
    for name, size, found in rows(runs):
        cells = (", ".join(f"{100 * one:.1f}" for one in shares) + " %" for shares in (size, found))
        print(
            f"| {name} | {100 * VERDICTS[name].level:g} % | {' | '.join(cells)} | {VERDICTS[name].effect} |", flush=True
        )


if __name__ == "__main__":
    main()
