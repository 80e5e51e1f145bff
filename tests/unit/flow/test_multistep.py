"""Multistep solvers against their papers' formulas, written out in alpha, sigma and lambda."""

from itertools import pairwise
from math import exp, inf, log

import pytest
import torch

from medsyn2.flow.multistep import multistep

TIMES = [0.95, 0.8, 0.71, 0.5, 0.42, 0.2, 0.05]


def noise():
    return torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def curved(z, t):
    return torch.tanh(z) * (1 + t)


def dpm_solver_plus_plus_2m(predict_at, z, times):
    """Algorithm 2 of arXiv:2211.01095 with alpha = 1 - t and sigma = t."""

    def lam(t):
        return log((1 - t) / t) if t < 1 else -inf

    past = None
    for before, t in pairwise(times):
        x = predict_at(z, before)
        h = lam(t) - lam(before)
        if past is None or past[1] == inf:
            d = x
        else:
            r = past[1] / h
            d = (1 + 1 / (2 * r)) * x - 1 / (2 * r) * past[0]
        z = t / before * z - (1 - t) * (exp(-h) - 1) * d
        past = (x, h)
    return predict_at(z, times[-1])


@pytest.mark.parametrize("times", [TIMES, [1.0, *TIMES], [1.0], [1.0, 0.5]])
def test_equals_the_formula_of_dpm_solver_plus_plus(times):
    expected = dpm_solver_plus_plus_2m(curved, noise(), times)
    *_, (_, ours) = multistep(curved, noise(), times, corrected=False)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("corrected", [False, True])
def test_a_prediction_that_does_not_change_is_followed_exactly(corrected):
    clean = torch.full((8, 5), 0.7, dtype=torch.float64)
    states = []

    def constant(z, t):
        states.append((z, t))
        return clean

    reached = [t for t, _ in multistep(constant, noise(), [1.0, *TIMES], corrected=corrected)]
    assert reached == [*TIMES, TIMES[-1]]
    for z, t in states:
        torch.testing.assert_close(z, (1 - t) * clean + t * noise(), atol=1e-13, rtol=0.0)
