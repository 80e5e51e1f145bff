"""Classification against scikit-learn, trivial predictors, thresholds and intervals."""

from dataclasses import asdict
from math import isnan

import numpy as np
import pytest

from medsyn2.evaluation.statistics.classification import (
    VALUES,
    Judgement,
    auroc,
    average_precision,
    classification,
    compare,
    intervals,
    labels_to_judge,
    thresholds_of_others,
    trivial,
    tune_thresholds,
)


def drawn(seed: int, num: int = 80, labels: int = 4, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and a truth of uneven prevalence."""
    rng = np.random.default_rng(seed)
    truth = rng.random((num, labels)) < np.array([0.1, 0.3, 0.5, 0.8])[:labels]
    scores = np.round(1 / (1 + np.exp(-(rng.normal(size=truth.shape) + signal * (truth - 0.5)))), 2)
    return scores, truth


def judged(scores: np.ndarray, truth: np.ndarray, found: np.ndarray, patients: np.ndarray | None = None) -> Judgement:
    owners = np.arange(len(truth)) if patients is None else patients
    return Judgement(scores, truth, found, tuple(f"p{index:03d}" for index in owners))


@pytest.mark.parametrize("seed", range(4))
def test_every_value_is_scikit_learn_s(seed: int) -> None:
    from sklearn import metrics

    scores, truth = drawn(seed)
    thresholds = np.array([0.3, 0.5, 0.6, 0.99])
    answers = scores >= thresholds
    columns = range(truth.shape[1])
    expected = {
        "auroc": [metrics.roc_auc_score(truth[:, k], scores[:, k]) for k in columns],
        "average_precision": [metrics.average_precision_score(truth[:, k], scores[:, k]) for k in columns],
        "accuracy": [metrics.accuracy_score(truth[:, k], answers[:, k]) for k in columns],
        "precision": [metrics.precision_score(truth[:, k], answers[:, k], zero_division=0) for k in columns],
        "recall": [metrics.recall_score(truth[:, k], answers[:, k]) for k in columns],
    }
    for average in ("binary", "macro", "weighted"):
        expected[f"f1_{average}"] = [metrics.f1_score(truth[:, k], answers[:, k], average=average) for k in columns]
    found = asdict(classification(judged(scores, truth, answers)))
    for name, values in expected.items():
        assert found[name] == pytest.approx(np.mean(values), abs=1e-12), name


def test_a_label_that_is_not_known_is_as_if_its_volume_were_not_there() -> None:
    scores, truth = drawn(3, labels=1)
    unsure = np.where(np.arange(len(truth))[:, None] < 20, np.nan, truth)
    some, rest = judged(scores, unsure, scores > 0.5), judged(scores[20:], truth[20:], scores[20:] > 0.5)
    assert asdict(classification(some)) == pytest.approx(asdict(classification(rest)))
    assert tune_thresholds(scores, unsure) == tune_thresholds(scores[20:], truth[20:])


def test_areas_by_counting() -> None:
    scores, truth = drawn(7, num=30)
    for k in range(4):
        positive, negative = scores[truth[:, k], k], scores[~truth[:, k], k]
        pairs = positive[:, None] - negative[None]
        assert auroc(scores[:, k], truth[:, k]) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])) == pytest.approx(
        0.5 * 1 + 0.5 * 2 / 3
    )
    assert average_precision(np.zeros(4), np.array([True, False, False, False])) == 0.25


def test_finding_nothing_is_as_accurate_as_labels_are_rare() -> None:
    _, truth = drawn(1)
    answers = (trivial(*truth.shape, positive=positive) for positive in (False, True))
    nothing, everything = (classification(judged(one, truth, one > 0)) for one in answers)
    assert nothing.accuracy == pytest.approx(1 - truth.mean())
    assert everything.precision == pytest.approx(truth.mean())
    assert (nothing.precision, nothing.f1_binary, nothing.auroc) == (0, 0, 0.5)


def test_thresholds_are_where_the_curve_is_nearest_to_the_corner() -> None:
    scores, truth = drawn(2)
    found = tune_thresholds(scores, truth)
    for k in range(4):
        distance = {
            t: (1 - (scores[truth[:, k], k] >= t).mean()) ** 2 + (scores[~truth[:, k], k] >= t).mean() ** 2
            for t in np.unique(scores[:, k])
        }
        nearest = min(distance, key=distance.__getitem__)
        assert ((scores[:, k] >= found[k]) == (scores[:, k] >= nearest)).all()
        assert found[k] not in distance
    assert tune_thresholds(scores[:, :1], np.zeros((80, 1), bool)).tolist() == [0.5]


def test_labels_are_judged_that_five_patients_have_and_five_have_not() -> None:
    truth = np.zeros((20, 4), bool)
    truth[:4, 0] = truth[:5, 1] = truth[:16, 2] = True
    truth[:, 3] = np.arange(20) % 2
    patients = [f"p{index}" for index in range(20)]
    assert labels_to_judge(truth, patients) == [1, 3]
    # Ten volumes of five patients are five.
    assert labels_to_judge(truth, [f"p{index // 2}" for index in range(20)]) == [3]
    assert labels_to_judge(truth, ["p"] * 20) == []
    none = judged(truth.astype(float), truth, truth).of_labels([])
    assert isnan(classification(none).auroc)
    assert all(np.isnan(ends).all() for ends in intervals(none).values())


def test_intervals_hold_the_value_and_are_of_patients() -> None:
    scores, truth = drawn(4, num=200)
    alone = judged(scores, truth, scores >= 0.5)
    value, found = classification(alone), intervals(alone)
    for name in VALUES:
        assert found[name][0] < getattr(value, name) < found[name][1]
    twice = (np.concatenate([part, part]) for part in (scores, truth, scores >= 0.5))
    again = intervals(judged(*twice, np.tile(np.arange(200), 2)))
    assert again["auroc"] == pytest.approx(found["auroc"])
    assert np.isnan(intervals(judged(scores, truth, scores >= 0.5, np.arange(200) // 50))["auroc"]).all()


def test_the_interval_of_an_area_is_delong_s() -> None:
    scores, truth = drawn(6, num=120)
    one = judged(scores, truth, scores >= 0.5).of_labels([2])
    positive, negative = scores[truth[:, 2], 2], scores[~truth[:, 2], 2]
    wins = (positive[:, None] > negative[None]) + 0.5 * (positive[:, None] == negative[None])
    variance = wins.mean(axis=1).var(ddof=1) / len(positive) + wins.mean(axis=0).var(ddof=1) / len(negative)
    low, high = intervals(one)["auroc"]
    assert high - low == pytest.approx(2 * 1.98 * np.sqrt(variance), rel=0.03)


def test_what_two_sets_share_does_not_widen_their_difference() -> None:
    scores, truth = drawn(8, num=100)
    first = judged(scores, truth, scores >= 0.5)
    same = compare(first, first, level=0.95)
    assert set(same.differences.values()) == {0.0}
    assert set(same.ends.values()) == {(0.0, 0.0)}
    other = np.clip(scores + np.random.default_rng(0).normal(0, 0.02, scores.shape), 0, 1)
    found = compare(judged(other, truth, other >= 0.5), first, level=0.99)
    width, own = (high - low for low, high in (found.ends["auroc"], found.reference))
    assert width < own / 3
    assert found.adjusted[1] - found.adjusted[0] > 1.2 * width
    assert found.reference == pytest.approx(intervals(first)["auroc"])


def test_a_patient_s_own_volumes_do_not_decide_its_thresholds() -> None:
    scores, truth = drawn(5, num=30)
    patients = [f"p{i // 2}" for i in range(30)]
    found = thresholds_of_others(scores, truth, patients, ["p0", "p3", "a stranger"])
    np.testing.assert_array_equal(found[0], tune_thresholds(scores[2:], truth[2:]))
    np.testing.assert_array_equal(found[2], tune_thresholds(scores, truth))
    changed = scores.copy()
    changed[6:8] = 1 - changed[6:8]
    np.testing.assert_array_equal(found[1], thresholds_of_others(changed, truth, patients, ["p3"])[0])


@pytest.mark.parametrize(("num", "values"), [(10, ("accuracy", "recall")), (60, ("accuracy", "recall", "f1_binary"))])
def test_scores_that_know_nothing_are_as_good_for_real_volumes_as_for_synthetic_ones(
    num: int, values: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{i}" for i in range(num)]
    apart, flattered = [], []
    for _ in range(40):
        truth, real, synthetic = rng.random((num, 8)) < 0.25, *rng.random((2, num, 8))
        truth[:2] = [[True], [False]]
        thresholds = thresholds_of_others(real, truth, patients, patients)
        mine, theirs = (classification(judged(one, truth, one >= thresholds)) for one in (real, synthetic))
        own = classification(judged(real, truth, real >= tune_thresholds(real, truth)))
        apart.append([getattr(mine, name) - getattr(theirs, name) for name in values])
        flattered.append(own.f1_binary - theirs.f1_binary)
    noise = np.std(apart, axis=0) / np.sqrt(len(apart))
    assert (np.abs(np.mean(apart, axis=0)) < 3 * noise).all()
    assert np.mean(flattered) > 5 * np.std(flattered) / np.sqrt(len(flattered))
