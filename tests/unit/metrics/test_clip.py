"""Pairs of embeddings: cosines, baselines, retrieval, and banks that do not belong together."""

import numpy as np
import pytest

from medsyn2.errors import EnvironmentFault
from medsyn2.metrics.banks import Bank, BankFacts, Part
from medsyn2.metrics.clip import label_probabilities, pair_score


def bank(
    rows: np.ndarray, names: list[str] | None = None, patients: list[str] | None = None, model: str = "m"
) -> Bank:
    names = names or [f"case{i}" for i in range(len(rows))]
    facts = BankFacts("real", "volumes", model, "0", "itself", {}, "0", (-1000.0, 1000.0), None)
    part = Part(rows.astype(np.float32), np.arange(len(rows)))
    return Bank(facts, tuple(names), tuple(patients or names), {"embedding": part})


RNG = np.random.default_rng(0)
COMMON = RNG.normal(size=8) * 2
TEXTS = RNG.normal(size=(40, 8)) + COMMON
IMAGES = TEXTS + RNG.normal(size=(40, 8)) * 0.7


def score(first: Bank, second: Bank):
    return pair_score(first, second, num_draws=100, seed=0)


def test_score_is_the_mean_cosine_of_pairs_of_one_id() -> None:
    order = np.random.default_rng(1).permutation(40)
    shuffled = bank(TEXTS[order], [f"case{i}" for i in order])
    found = score(bank(IMAGES), shuffled)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (IMAGES, TEXTS)]
    assert found.score == pytest.approx(100 * (unit[0] * unit[1]).sum(1).mean(), rel=1e-5)
    assert found.low < found.score < found.high
    cosines = 100 * unit[0] @ unit[1].T
    assert found.shuffled == pytest.approx(cosines[~np.eye(40, dtype=bool)].mean(), rel=1e-5)
    assert found.shuffled > 20  # what all chests have in common
    assert found.z > 5
    assert found.num == 40


def test_retrieval_is_perfect_for_itself_and_chance_for_noise() -> None:
    assert set(score(bank(TEXTS), bank(TEXTS)).recall.values()) == {1.0}
    noise = score(bank(np.random.default_rng(2).normal(size=(40, 8))), bank(TEXTS))
    assert noise.recall[1] < 0.2
    assert noise.recall[50] == 1.0
    assert abs(noise.z) < 4


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
