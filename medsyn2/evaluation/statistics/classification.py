"""Classification scores of label probabilities: the paper's Table 3.

AUROC and average precision need no threshold and come first. All other scores do, and a threshold tuned on the judged
volumes flatters: with uninformative scores, 10 volumes and labels of one in five, F1 is then 0.49 where a generator's
is 0.25. Here thresholds are tuned on *real* volumes, for each label where the ROC curve is nearest to (0, 1), and each
volume, real or synthetic, is judged by the thresholds of all patients but its own. Uninformative scores then give real
and synthetic volumes the same accuracy and recall; F1, which is no mean over volumes, is still some 0.04 higher for
the real ones at 10 volumes, 0.01 at 50.

F1 has three averages that differ twofold on rare labels, and papers do not name theirs; all three are given. Two
trivial rows, finding nothing and finding everything, are the levels to read accuracy and precision against. Means are
over labels that at least five patients have and five have not: with fewer of a class there is no interval, as
elsewhere, and one of four positives moves an area under the curve by up to a quarter. The labels are chosen once, from
the truth of the judged volumes, and stay when patients are left out for the interval (`intervals.jackknife`): resamples
that lose a label now and then would mix the differences of labels into the error.

Source: definitions as in scikit-learn; the threshold rule as in CT-CLIP's evaluation, which tunes on the judged set.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from math import nan

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from medsyn2.evaluation.statistics.intervals import LEVEL, MIN_PATIENTS, Interval, interval, jackknife

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


VALUES = tuple(field.name for field in fields(Classification))
_SCORES, _DIFFERENCES = (0.0, 1.0), (-1.0, 1.0)
"""Where scores and their differences can lie."""


@dataclass(frozen=True)
class Judgement:
    """Labels of some volumes as they are and as they were found; a column a label."""

    probabilities: Probabilities  # Of each label
    truth: Truth  # Whether it is there
    found: Bool[np.ndarray, "v k"]  # Whether it was found
    patients: tuple[str, ...]  # Patient of each volume

    def of_volumes(self, volumes: Bool[np.ndarray, " v"] | Sequence[int]) -> "Judgement":
        """Return some volumes of it."""
        owners = np.array(self.patients)[volumes].tolist()
        return Judgement(self.probabilities[volumes], self.truth[volumes], self.found[volumes], tuple(owners))

    def of_labels(self, labels: Sequence[int]) -> "Judgement":
        """Return some labels of it."""
        chosen = list(labels)
        return Judgement(self.probabilities[:, chosen], self.truth[:, chosen], self.found[:, chosen], self.patients)

    def scores(self, volumes: Bool[np.ndarray, " v"]) -> Float[np.ndarray, " s"]:
        """Return `VALUES` of some volumes; NaN if a label has lost one of its classes."""
        chosen = Judgement(self.probabilities[volumes], self.truth[volumes], self.found[volumes], ())
        if not all((chosen.truth == one).any(axis=0).all() for one in (0, 1)):
            return np.full(len(VALUES), np.nan)
        return np.array(astuple(classification(chosen)))


def labels_to_judge(truth: Truth, patients: Sequence[str]) -> list[int]:
    """Return the columns of the labels that five patients or more have, and five or more have not."""
    owners = np.array(patients)
    classes = [[len(set(owners[there == one])) for one in (0, 1)] for there in truth.T]
    return [label for label, counts in enumerate(classes) if min(counts) >= MIN_PATIENTS]


def classification(judged: Judgement) -> Classification:
    """Score the labels, each of which needs both classes; NaN without labels."""
    if not judged.truth.shape[1]:
        return Classification(*[nan] * len(VALUES))
    areas = _aurocs(judged.probabilities, judged.truth), _average_precisions(judged.probabilities, judged.truth)
    by_label = np.stack([*areas, *_decisions(judged.found, judged.truth)])
    return Classification(*by_label.mean(axis=1).tolist())


def intervals(judged: Judgement) -> dict[str, Interval]:
    """Return the 95 % interval of each score over patients, with the labels and the decisions fixed."""
    return _ends(*jackknife(judged.scores, judged.patients), LEVEL, _SCORES)


@dataclass(frozen=True)
class Comparison:
    """Scores of some volumes minus those of other volumes of the same cases."""

    differences: dict[str, float]  # By score
    ends: dict[str, Interval]  # Their 95 % intervals over patients
    adjusted: Interval  # Interval of the difference of areas under the curve, at the level of the family
    reference: Interval  # 95 % interval of the others' area under the curve


def compare(judged: Judgement, reference: Judgement, *, level: float) -> Comparison:
    """Compare the scores of two volumes of each case, over the same labels.

    Args:
        level: Coverage of the adjusted interval.
    """
    apart, influences = jackknife(lambda kept: judged.scores(kept) - reference.scores(kept), judged.patients)
    differences = dict(zip(VALUES, apart.tolist(), strict=True))
    adjusted, ends = (_ends(apart, influences, one, _DIFFERENCES) for one in (level, LEVEL))
    return Comparison(differences, ends, adjusted["auroc"], intervals(reference)["auroc"])


def _ends(
    values: Float[np.ndarray, " s"], influences: pd.DataFrame, level: float, within: Interval
) -> dict[str, Interval]:
    ends = (
        interval(value, influences[place], level=level, within=within) for place, value in enumerate(values.tolist())
    )
    return dict(zip(VALUES, ends, strict=True))


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
    return float(_aurocs(scores[:, None], truth[:, None])[0])


def average_precision(scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """Return the mean precision over the steps in recall."""
    return float(_average_precisions(scores[:, None], truth[:, None])[0])


def _aurocs(scores: Probabilities, truth: Truth) -> Float[np.ndarray, " k"]:
    positives, negatives = (np.count_nonzero(truth == one, axis=0) for one in (1, 0))
    # Volumes whose label is not known rank last, where they change no rank of the others.
    ranks = rankdata(np.where(np.isnan(truth), np.inf, scores), axis=0)
    sums = np.where(truth == 1, ranks, 0.0).sum(axis=0)
    return np.asarray((sums - positives * (positives + 1) / 2) / (positives * negatives))


def _average_precisions(scores: Probabilities, truth: Truth) -> Float[np.ndarray, " k"]:
    known = np.where(np.isnan(truth), -np.inf, scores)  # found last, behind all that count
    order = np.argsort(-known, axis=0, kind="stable")
    falling, there = (np.take_along_axis(one, order, axis=0) for one in (known, truth == 1))
    places = np.arange(len(scores))[:, None]
    # Those of one score are found together: each counts with the precision at the last of them.
    ends = np.append(falling[1:] != falling[:-1], np.ones_like(there[:1]), axis=0)
    last = np.minimum.accumulate(np.where(ends, places, len(scores))[::-1], axis=0)[::-1]
    precision = np.take_along_axis(np.cumsum(there, axis=0) / (places + 1), last, axis=0)
    return np.asarray(np.where(there, precision, 0.0).sum(axis=0) / there.sum(axis=0))


def _decisions(found: Bool[np.ndarray, "v k"], truth: Truth) -> list[Float[np.ndarray, " k"]]:
    there, absent = truth == 1, truth == 0
    hits, false, misses, rejected = (
        np.count_nonzero(one, axis=0) for one in (found & there, found & absent, ~found & there, ~found & absent)
    )
    errors = false + misses
    positive, negative = 2 * hits / (2 * hits + errors), 2 * rejected / (2 * rejected + errors)
    share = (hits + misses) / (hits + rejected + errors)
    return [
        (hits + rejected) / (hits + rejected + errors),
        hits / np.maximum(hits + false, 1),
        hits / (hits + misses),
        positive,
        (positive + negative) / 2,
        share * positive + (1 - share) * negative,
    ]
