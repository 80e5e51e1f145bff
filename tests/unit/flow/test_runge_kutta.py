"""The tables of numbers satisfy the conditions that make a method what it is called."""

from itertools import pairwise

import pytest
import torch

from medsyn2.flow.runge_kutta import TABLEAUX, runge_kutta

ORDERS = {"euler": 1, "heun": 2, "dopri5": 5}


@pytest.mark.parametrize("name", TABLEAUX)
def test_stages_are_consistent(name):
    tableau = TABLEAUX[name]
    assert sum(tableau.weights) == pytest.approx(1.0)
    for node, row in zip(tableau.nodes, tableau.rows, strict=True):
        assert sum(row) == pytest.approx(node)


@pytest.mark.parametrize("name", TABLEAUX)
def test_polynomials_of_the_solution_are_exact_up_to_the_order(name):
    """Quadrature: the weights integrate s^k over [0, 1] exactly for k below the order."""
    tableau = TABLEAUX[name]
    for k in range(ORDERS[name]):
        found = sum(w * node**k for w, node in zip(tableau.weights, tableau.nodes, strict=True))
        assert found == pytest.approx(1 / (k + 1))
    beyond = sum(w * n ** ORDERS[name] for w, n in zip(tableau.weights, tableau.nodes, strict=True))
    assert beyond != pytest.approx(1 / (ORDERS[name] + 1), abs=1e-6)


@pytest.mark.parametrize("name", TABLEAUX)
def test_stages_at_the_end_of_a_step_are_at_the_grid_s_own_time(name):
    """Not at a sum that rounds beside it."""
    times = [1.0 - 0.97 * i / 30 for i in range(31)]
    seen = []

    def predict_at(z, t):
        seen.append(t)
        return z

    reached = [t for t, _ in runge_kutta(TABLEAUX[name], predict_at, torch.ones(1, 1), times)]
    assert reached == [*times[1:], times[-1]]
    steps = {t for t in seen if any(abs(t - grid) < 1e-9 for grid in times)}
    assert steps <= set(times)
    assert seen[-1] == times[-1]


@pytest.mark.parametrize("name", TABLEAUX)
def test_a_straight_flow_is_followed_exactly(name):
    clean, states = torch.tensor([[0.3, -2.0]], dtype=torch.float64), []

    def predict_at(z, t):
        states.append((z, t))
        return clean

    noise = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    times = [1.0, 0.9, 0.4, 0.1]
    *_, (_, result) = runge_kutta(TABLEAUX[name], predict_at, noise, times)
    assert torch.equal(result, clean)
    assert len(states) == len(list(pairwise(times))) * len(TABLEAUX[name].nodes) + 1
    for z, t in states:
        torch.testing.assert_close(z, (1 - t) * clean + t * noise, atol=1e-12, rtol=0.0)
