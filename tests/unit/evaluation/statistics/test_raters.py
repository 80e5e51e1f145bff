"""Agreement equals worked examples, definitions and scikit-learn; intervals equal published ones."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest

from medsyn2.evaluation.statistics.raters import agreement, cohen_kappa, gwet_ac, wilson, wilson_over_patients


def judged(seed: int, levels: int = 3, num: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, levels, num)
    second = np.clip(first + rng.integers(-1, 2, num), 0, levels - 1)
    return first, second


def test_cohen_s_kappa_of_a_worked_example() -> None:
    # 35 of 50 alike; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    assert cohen_kappa(np.array([[20, 5], [10, 15]]), "none") == pytest.approx(0.4)


def test_gwet_s_example_of_the_paradox() -> None:
    # Gwet 2008, table 2: 118 of 125 alike, a kappa below nothing, an AC1 of 0.94.
    counts = np.array([[118, 5], [2, 0]])
    assert cohen_kappa(counts, "none") == pytest.approx(-0.0234, abs=5e-5)
    assert gwet_ac(counts, "none") == pytest.approx(0.9408, abs=5e-5)


@pytest.mark.parametrize("seed", range(3))
def test_quadratic_kappa_is_one_minus_the_ratio_of_squared_distances(seed: int) -> None:
    first, second = judged(seed)
    paired = np.mean((first - second) ** 2)
    unpaired = np.mean(np.subtract.outer(first, second) ** 2)
    assert agreement(first, second, 3).kappa_quadratic == pytest.approx(1 - paired / unpaired)


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_kappas_equal_scikit_learn(levels: int) -> None:
    from sklearn import metrics

    first, second = judged(levels, levels)
    found = agreement(first, second, levels)
    for ours, weights in ((found.kappa, None), (found.kappa_linear, "linear"), (found.kappa_quadratic, "quadratic")):
        theirs = metrics.cohen_kappa_score(first, second, weights=weights, labels=range(levels))
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_with_two_levels_weights_change_nothing() -> None:
    found = agreement(*judged(4, levels=2), 2)
    assert found.kappa_linear == pytest.approx(found.kappa)
    assert found.kappa_quadratic == pytest.approx(found.kappa)
    assert found.ac2_quadratic == pytest.approx(found.ac1)


def test_perfect_and_chance_agreement() -> None:
    first, _ = judged(5)
    found = agreement(first, first, 3)
    assert (found.same, found.kappa, found.kappa_quadratic, found.ac1) == (1, 1, 1, 1)
    rng = np.random.default_rng(6)
    apart = agreement(rng.integers(0, 3, 20000), rng.integers(0, 3, 20000), 3)
    assert max(abs(apart.kappa), abs(apart.kappa_quadratic), abs(apart.ac1)) < 0.02


def test_the_order_of_the_readers_does_not_matter() -> None:
    first, second = judged(7)
    assert astuple(agreement(first, second, 3)) == pytest.approx(astuple(agreement(second, first, 3)))


def test_a_level_that_nobody_used_lowers_ac1_s_chance_and_leaves_kappa() -> None:
    first, second = judged(8, levels=2)
    two, three = agreement(first, second, 2), agreement(first, second, 3)
    assert three.kappa == pytest.approx(two.kappa)
    assert three.ac1 > two.ac1


def test_nothing_to_disagree_on_is_not_a_number() -> None:
    only = np.zeros(9, dtype=int)
    found = agreement(only, only, 3)
    assert np.isnan(found.kappa)
    assert found.ac1 == 1
    assert np.isnan(gwet_ac(np.zeros((3, 3), dtype=int), "none"))


def test_intervals_of_shares() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)  # Wilson 1927, as tabulated by Newcombe


def test_a_share_of_cases_has_the_interval_of_as_many_patients_as_it_depends_on() -> None:
    hits = pd.Series([True, False, True, True, False, True, False, True])
    apart = wilson_over_patients(hits, pd.Series(range(8)))
    assert apart == pytest.approx(wilson(5 * 7 / 8, 7))  # the error of independent cases, by n - 1
    twice = wilson_over_patients(pd.concat([hits, hits], ignore_index=True), pd.Series([*range(8), *range(8)]))
    assert twice == pytest.approx(apart)
    assert wilson_over_patients(hits | True, pd.Series([0, 0, 1, 1, 2, 2, 3, 3])) == pytest.approx(wilson(4, 4))
    assert wilson_over_patients(hits, pd.Series([0] * 8)) == pytest.approx(wilson(5 / 8, 1))
