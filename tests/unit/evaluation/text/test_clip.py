"""Pairs of embeddings: cosines, baselines, retrieval, and banks that do not belong together."""

from dataclasses import asdict
from math import isnan

import numpy as np
import pytest

from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.text.clip import label_probabilities, pair_score


def bank(rows: np.ndarray, names: list[str] | None = None, patients: list[str] | None = None, model: str = "m") -> Bank:
    names = names or [f"case{i}" for i in range(len(rows))]
    facts = BankFacts("real", "volumes", model, "0", "itself", {}, "0", (-1000.0, 1000.0), None)
    part = Part(rows.astype(np.float32), np.arange(len(rows)))
    return Bank(facts, tuple(names), tuple(patients or names), {"embedding": part})


RNG = np.random.default_rng(0)
COMMON = RNG.normal(size=8) * 2
TEXTS = RNG.normal(size=(40, 8)) + COMMON
IMAGES = TEXTS + RNG.normal(size=(40, 8)) * 0.7


def score(first: Bank, second: Bank):
    return pair_score(first, second, seed=0)


def test_score_is_the_mean_cosine_of_pairs_of_one_id() -> None:
    order = np.random.default_rng(1).permutation(40)
    shuffled = bank(TEXTS[order], [f"case{i}" for i in order])
    found = score(bank(IMAGES), shuffled)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (IMAGES, TEXTS)]
    assert found.score == pytest.approx(100 * (unit[0] * unit[1]).sum(1).mean(), rel=1e-5)
    assert found.score_low < found.score < found.score_high
    cosines = 100 * unit[0] @ unit[1].T
    assert found.shuffled == pytest.approx(cosines[~np.eye(40, dtype=bool)].mean(), rel=1e-5)
    assert found.shuffled > 20  # what all chests have in common
    assert found.z > 5
    assert found.above_shuffled == pytest.approx(found.score - found.shuffled)
    assert 0 < found.above_shuffled_low < found.above_shuffled < found.above_shuffled_high
    assert (found.num_pairs, found.num_patients) == (40, 40)


def test_retrieval_is_perfect_for_itself_and_chance_for_noise() -> None:
    perfect = score(bank(TEXTS), bank(TEXTS)).recall
    assert {perfect[k].share for k in (1, 5, 10)} == {1.0}
    noise = score(bank(np.random.default_rng(2).normal(size=(40, 8))), bank(TEXTS))
    assert noise.recall[1].share < 0.2
    assert noise.recall[10].low < noise.recall[10].chance == 0.25 < noise.recall[10].high
    assert abs(noise.z) < 4


def test_reports_that_are_all_alike_are_told_apart_by_chance() -> None:
    found = score(bank(IMAGES), bank(np.tile(TEXTS[:1], (40, 1))))
    for k in (1, 5, 10):
        assert found.recall[k].share == pytest.approx(k / 40)
        assert found.recall[k].chance == k / 40
    assert isnan(found.z)
    assert found.above_shuffled == pytest.approx(0, abs=1e-4)


def test_a_tie_counts_as_often_as_its_order_would_make_it_a_hit() -> None:
    twins = score(bank(np.repeat(TEXTS[:20], 2, axis=0)), bank(np.repeat(TEXTS[:20], 2, axis=0)))
    assert twins.recall[1].share == pytest.approx(0.5)
    assert twins.recall[5].share == 1


def test_among_no_more_than_k_candidates_there_is_nothing_to_find() -> None:
    found = score(bank(TEXTS[:5]), bank(TEXTS[:5])).recall
    assert found[1].share == 1
    assert all(isnan(value) for k in (5, 10, 50) for value in asdict(found[k]).values())


def test_one_patient_has_neither_baseline_nor_interval() -> None:
    found = score(bank(IMAGES[:4], patients=["p"] * 4), bank(TEXTS[:4]))
    ends = (found.score_low, found.above_shuffled_high, found.recall[1].low, found.shuffled)
    assert all(isnan(value) for value in ends)
    assert found.num_patients == 1


def test_the_interval_above_shuffled_is_as_wide_as_the_value_varies() -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        texts = rng.normal(size=(20, 8)) + COMMON
        found.append(score(bank(texts + rng.normal(size=(20, 8)) * 2), bank(texts)))
    width = np.mean([one.above_shuffled_high - one.above_shuffled_low for one in found])
    assert width == pytest.approx(2 * 1.96 * np.std([one.above_shuffled for one in found]), rel=0.35)


def test_pairs_of_one_patient_are_no_baseline() -> None:
    twins = np.repeat(TEXTS[:20], 2, axis=0)
    patients = [f"p{i // 2}" for i in range(40)]
    alone = score(bank(twins, patients=patients), bank(twins))
    assert alone.shuffled < score(bank(twins), bank(twins)).shuffled


def test_probabilities_are_the_softmax_over_two_prompts() -> None:
    prompts = bank(TEXTS[:4], ["A/present", "B/present", "B/absent", "A/absent"])
    found = label_probabilities(bank(IMAGES), prompts, ("A", "B"), scale=10.0)
    assert found.shape == (40, 2)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (IMAGES, TEXTS[:4])]
    logits = 10 * unit[0] @ unit[1].T
    expected = np.exp(logits[:, 0]) / (np.exp(logits[:, 0]) + np.exp(logits[:, 3]))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4)
    with pytest.raises(EnvironmentFault, match="prompts-missing"):
        label_probabilities(bank(IMAGES), prompts, ("A", "C"), scale=1.0)


def test_two_models_or_strangers_are_not_compared() -> None:
    with pytest.raises(EnvironmentFault, match="banks-differ"):
        score(bank(IMAGES), bank(TEXTS, model="other"))
    with pytest.raises(EnvironmentFault, match="pairs-missing"):
        score(bank(IMAGES), bank(TEXTS, [f"x{i}" for i in range(40)]))
    part = {"lung/axial": Part(np.zeros((2, 3), np.float32), np.arange(2))}
    with pytest.raises(EnvironmentFault, match="expected 'embedding'"):
        score(Bank(bank(IMAGES).facts, ("a", "b"), ("a", "b"), part), bank(TEXTS))
