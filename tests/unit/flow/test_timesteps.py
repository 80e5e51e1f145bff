"""Distributions of training times, and the grids of solvers."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from medsyn2.flow.timesteps import draw_times, time_grid

DRAWS = 200_000


def draws(distribution: str, mean: float = 0.8, std: float = 0.8, n: int = DRAWS) -> torch.Tensor:
    return draw_times(n, distribution, mean, std, torch.Generator().manual_seed(0))


def logit_normal_cdf(t, mean=0.8, std=0.8):
    return stats.norm.cdf((torch.logit(torch.as_tensor(t, dtype=torch.float64)).numpy() - mean) / std)


@pytest.mark.parametrize(
    ("distribution", "cdf"),
    [
        ("uniform", stats.uniform.cdf),
        ("logit_normal", logit_normal_cdf),
        ("warped", lambda t: 1 - 2 / np.pi * np.arctan(1 / t - 1)),
        ("mixture", lambda t: 0.9 * logit_normal_cdf(t) + 0.1 * stats.uniform.cdf(t)),
    ],
)
def test_draws_follow_the_distribution(distribution, cdf):
    assert stats.kstest(draws(distribution).double().numpy(), cdf).pvalue > 0.01


def test_the_median_of_the_logit_normal_is_the_logistic_of_its_mean():
    assert draws("logit_normal").median().item() == pytest.approx(1 / (1 + math.exp(-0.8)), abs=3e-3)


def test_the_weight_has_the_expectation_of_the_closed_form():
    mean, std = 0.8, 0.8
    expected = 1 + 2 * math.exp(-mean + std**2 / 2) + math.exp(-2 * mean + 2 * std**2)
    assert draws("logit_normal").double().pow(-2).mean().item() == pytest.approx(expected, rel=0.02)


def test_the_mixture_covers_small_times():
    assert (draws("logit_normal") < 0.05).float().mean() < 1e-4
    assert (draws("mixture") < 0.05).float().mean().item() == pytest.approx(0.005, abs=1e-3)


def test_time_the_other_way_is_the_logit_normal_of_the_negative_mean():
    other = 1 - draws("logit_normal", mean=-0.8)
    assert stats.kstest(other.double().numpy(), logit_normal_cdf).pvalue > 0.01


@pytest.mark.parametrize("distribution", ["uniform", "logit_normal", "mixture", "warped"])
def test_draws_lie_between_the_ends_and_repeat(distribution):
    t = draws(distribution, n=1000)
    assert t.min() >= 0
    assert t.max() <= 1
    assert torch.equal(t, draws(distribution, n=1000))


@pytest.mark.parametrize("num_points", [1, 2, 3, 10, 31, 51, 129])
def test_grids_fall_evenly_from_the_first_time_to_the_last_exactly(num_points):
    times = time_grid(num_points, 0.9, 1e-3)
    assert len(times) == num_points
    assert times[0] == 0.9
    if num_points > 1:
        assert times[-1] == 1e-3
        steps = [before - after for before, after in pairwise(times)]
        assert steps == pytest.approx([(0.9 - 1e-3) / (num_points - 1)] * (num_points - 1))
