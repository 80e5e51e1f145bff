"""The authors' solver against torchdiffeq's midpoint rule and the closed form of what it leaves."""

from math import cos, exp, pi, tan

import pytest
import torch

from medsyn2.flow.sampling import Sampling
from medsyn2.flow.solvers import solve
from medsyn2.flow.warped import warped_midpoint


def noise():
    return torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def curved(z, t):
    return torch.tanh(z) * (1 + t)


@pytest.mark.parametrize("num_steps", [1, 3, 49])
def test_equals_torchdiffeq_on_the_warped_equation(num_steps):
    import torchdiffeq

    def derivative(s, z):
        tau = 1 - 1 / (torch.tan(pi * s / 2) + 1)
        return (curved(z, 1 - tau) - z) / torch.clamp(1 - tau, min=1e-7)

    grid = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    expected = torchdiffeq.odeint(derivative, noise(), grid, method="midpoint")[-1]
    states = list(warped_midpoint(curved, noise(), num_steps=num_steps, t_start=1.0, t_end=1e-7))
    assert len(states) == num_steps
    ours = states[-1][1]
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("stop", "order"), [(0.5, 2), (0.9, 2)])
def test_second_order_towards_the_noise_that_the_missing_factor_leaves(stop, order):
    """With a network that is never wrong the noise left at s is exp(-s) cos(pi s / 2)^(2/pi)."""
    left = exp(-stop) * cos(pi * stop / 2) ** (2 / pi)

    def error(num_steps):
        """The state at `stop`, found in the argument of the evaluation there."""
        states = {}

        def oracle(z, t):
            states[t] = z
            return torch.zeros_like(z)

        list(warped_midpoint(oracle, noise(), num_steps=num_steps, t_start=1.0, t_end=1e-9))
        t = 1 / (tan(pi * stop / 2) + 1)
        at = min(states, key=lambda told: abs(told - t))
        assert at == pytest.approx(t, abs=1e-9)
        return (states[at] - left * noise()).abs().max().item()

    assert error(40) / error(80) == pytest.approx(2**order, rel=0.15)


def test_half_a_percent_of_noise_remains_where_other_solvers_leave_none():
    def oracle(z, t):
        return torch.zeros_like(z)

    ours = solve(oracle, noise(), Sampling("warped_midpoint", 49))
    torch.testing.assert_close(ours, 0.0055 * noise(), atol=0.0, rtol=0.02)
    other = solve(oracle, noise(), Sampling("unipc", 49))
    assert torch.equal(other, torch.zeros_like(other))


def test_no_time_below_the_end_however_many_steps():
    seen = []

    def predict(z, t):
        seen.append(t)
        return torch.zeros_like(z)

    list(warped_midpoint(predict, noise(), num_steps=2000, t_start=1.0, t_end=1e-2))
    assert (max(seen), min(seen)) == (1.0, 1e-2)


def test_it_starts_where_an_edit_does():
    seen = []

    def predict(z, t):
        seen.append(t)
        return torch.zeros_like(z)

    list(warped_midpoint(predict, noise(), num_steps=4, t_start=0.6, t_end=1e-3))
    assert seen[0] == pytest.approx(0.6, abs=1e-12)
    assert seen == sorted(seen, reverse=True)
