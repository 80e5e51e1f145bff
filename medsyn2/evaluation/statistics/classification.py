"""Classification scores of label probabilities: the paper's Table 3.

AUROC and average precision need no threshold and come first. All other scores do, and a threshold tuned on the judged
volumes flatters: with uninformative scores, 10 volumes and labels of one in five, F1 is then 0.49 where a generator's
is 0.25. Here thresholds are tuned on *real* volumes, for each label where the ROC curve is nearest to (0, 1), and each
volume, real or synthetic, is judged by the thresholds of all patients but its own. Uninformative scores then give real
and synthetic volumes the same accuracy and recall; F1, which is no mean over volumes, is still some 0.04 higher for
the real ones at 10 volumes, 0.01 at 50.

F1 has three averages that differ twofold on rare labels, and papers do not name theirs; all three are given. Two
trivial rows, finding nothing and finding everything, are the levels to read accuracy and precision against. Means are
over the labels with both a positive and a negative case, whose number is given.

Source: definitions as in scikit-learn; the threshold rule as in CT-CLIP's evaluation, which tunes on the judged set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import nan

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

Probabilities = Float[np.ndarray, "v k"]
Truth = Bool[np.ndarray, "v k"] | Float[np.ndarray, "v k"]
"""Whether each label is there; as numbers 1, 0 and NaN where some are not known."""


@dataclass(frozen=True)
class Classification:
    """Means over labels, 0 to 1."""

    auroc: float  # Area under the ROC curve
    average_precision: float  # Area under the precision-recall curve, as a sum of steps
    accuracy: float  # Share of right answers
    precision: float  # Of the positive class; 0 where nothing is found
    recall: float  # Of the positive class
    f1_binary: float  # F1 of the positive class
    f1_macro: float  # Mean of the F1 of both classes
    f1_weighted: float  # The same, weighted by their numbers
    num_labels: int  # Labels that have both classes


VALUES = tuple(field.name for field in fields(Classification) if field.name != "num_labels")


def classification(probabilities: Probabilities, truth: Truth, found: Bool[np.ndarray, "v k"]) -> Classification:
    """Score probabilities, and the decisions made from them, against the truth."""
    rows = []
    for k in range(truth.shape[1]):
        known = ~np.isnan(truth[:, k])
        scores, there, answers = probabilities[known, k], truth[known, k] > 0, found[known, k]
        if there.any() and not there.all():
            rows.append([auroc(scores, there), average_precision(scores, there), *_decisions(answers, there)])
    if not rows:
        return Classification(nan, nan, nan, nan, nan, nan, nan, nan, 0)
    means = dict(zip(VALUES, np.mean(rows, axis=0).tolist(), strict=True))
    return Classification(**means, num_labels=len(rows))


def intervals(
    probabilities: Probabilities,
    truth: Truth,
    found: Bool[np.ndarray, "v k"],
    patients: Int[np.ndarray, " v"],
    *,
    num_draws: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each score by resampling patients, with the decisions fixed; NaN with one patient."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(patients == patient) for patient in range(int(patients.max()) + 1)]
    drawn = []
    for _ in range(num_draws if len(members) > 1 else 0):
        rows = np.concatenate([members[patient] for patient in rng.integers(0, len(members), len(members))])
        drawn.append(classification(probabilities[rows], truth[rows], found[rows]))
    ends = {}
    for name in VALUES:
        values = np.array([getattr(one, name) for one in drawn], dtype=float)
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, [2.5, 97.5]) if len(values) > 1 else (nan, nan)
        ends[name] = (float(low), float(high))
    return ends


def thresholds_of_others(
    probabilities: Probabilities, truth: Truth, patients: Sequence[str], judged: Sequence[str]
) -> Float[np.ndarray, "w k"]:
    """Return for each judged volume the thresholds tuned on the volumes of all other patients.

    Args:
        patients: Patient of each volume to tune on.
        judged: Patient of each judged volume; patients not among `patients` get thresholds tuned on all.
    """
    owners = np.array(patients)
    tuned = {one: tune_thresholds(probabilities[owners != one], truth[owners != one]) for one in dict.fromkeys(judged)}
    return np.stack([tuned[one] for one in judged])


def tune_thresholds(probabilities: Probabilities, truth: Truth) -> Float[np.ndarray, " k"]:
    """Return for each label the threshold at which the ROC curve is nearest to (0, 1); 0.5 without both classes.

    The threshold lies midway between two scores: at a score itself, a volume left out of the tuning would fall on the
    wrong side of its neighbours for its own absence.
    """
    found = np.full(truth.shape[1], 0.5)
    for k in range(truth.shape[1]):
        known = ~np.isnan(truth[:, k])
        scores, there = probabilities[known, k], truth[known, k] > 0
        if not there.any() or there.all():
            continue
        candidates = np.unique(scores)
        missed = np.searchsorted(np.sort(scores[there]), candidates) / there.sum()
        false = 1 - np.searchsorted(np.sort(scores[~there]), candidates) / (~there).sum()
        best = int(np.argmin(missed**2 + false**2))
        found[k] = candidates[max(best - 1, 0) : best + 1].mean()
    return found


def trivial(num_volumes: int, num_labels: int, *, positive: bool) -> Probabilities:
    """Return the probabilities of finding everything, or nothing."""
    return np.full((num_volumes, num_labels), float(positive))


def auroc(scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative, ties counting half."""
    positives = int(truth.sum())
    ranks = rankdata(scores)[truth].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * (len(truth) - positives)))


def average_precision(scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """Return the mean precision over the steps in recall."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(truth[order])[last_of_tie]
    steps = np.diff(hits, prepend=0) / truth.sum()
    return float(np.sum(steps * hits / (last_of_tie + 1)))


def _decisions(found: Bool[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> list[float]:
    right = int((found & truth).sum())
    precision = right / int(found.sum()) if found.any() else 0.0
    positive, negative = _f1(found, truth), _f1(~found, ~truth)
    share = float(truth.mean())
    return [
        float((found == truth).mean()),
        precision,
        right / int(truth.sum()),
        positive,
        (positive + negative) / 2,
        share * positive + (1 - share) * negative,
    ]


def _f1(found: Bool[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    return 2 * int((found & truth).sum()) / (int(found.sum()) + int(truth.sum()))
