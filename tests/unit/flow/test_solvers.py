"""Solvers against flows that are known in closed form, and against torchdiffeq."""

import math
from functools import partial
from typing import get_args

import pytest
import torch

from medsyn2.errors import ConfigError
from medsyn2.flow.sampling import Sampling, Solver
from medsyn2.flow.solvers import edit, solve, trajectory

SOLVERS = get_args(Solver)
ORDERS = {"euler": 1, "heun": 2, "dpmpp_2m": 2, "unipc": 3, "dopri5": 5}
EVALUATIONS = {
    "euler": lambda n: n,
    "heun": lambda n: 2 * n - 1,
    "dpmpp_2m": lambda n: n,
    "unipc": lambda n: n,
    "dopri5": lambda n: 6 * n + 1,
    "warped_midpoint": lambda n: 2 * n,
}


class Gaussian:
    """Clean latents are Gaussian: mean m, variance s^2 in each dimension. The flow map is linear.

    Counts evaluations and the range of their times, and gives NaN at t <= 0.
    """

    def __init__(self, mean, std) -> None:
        self.mean, self.std = mean, std
        self.times: list[float] = []

    def __call__(self, z, t):
        assert (t == t[0]).all()
        self.times.append(t[0].item())
        if self.times[-1] <= 0:
            return torch.full_like(z, torch.nan)
        t = t[:, None]
        variance = ((1 - t) * self.std) ** 2 + t**2
        return self.mean + (1 - t) * self.std**2 / variance * (z - (1 - t) * self.mean)

    def at(self, noise, t):
        """The exact z at `t` of the path that starts at `noise`."""
        return (1 - t) * self.mean + (((1 - t) * self.std) ** 2 + t**2) ** 0.5 * noise


class Mixture:
    """Clean latents are a mixture of narrow Gaussians, far from linear."""

    def __init__(self, num: int = 5, dimensions: int = 8, std: float = 0.3) -> None:
        generator = torch.Generator().manual_seed(0)
        self.means = 1.5 * torch.randn(num, dimensions, dtype=torch.float64, generator=generator)
        self.std = std

    def __call__(self, z, t):
        t = t[:, None]
        variance = ((1 - t) * self.std) ** 2 + t**2
        offsets = z[:, None] - (1 - t)[:, None] * self.means
        shares = torch.softmax(-offsets.square().sum(-1) / (2 * variance), dim=-1)
        posterior = self.means + ((1 - t) * self.std**2 / variance)[:, None] * offsets
        return (shares[..., None] * posterior).sum(1)


@pytest.fixture
def gaussian():
    generator = torch.Generator().manual_seed(0)
    return Gaussian(
        torch.randn(6, dtype=torch.float64, generator=generator),
        0.2 + torch.rand(6, dtype=torch.float64, generator=generator),
    )


def noise_of(n: int, dimensions: int, seed: int = 1):
    return torch.randn(n, dimensions, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("solver", EVALUATIONS)
@pytest.mark.parametrize("num_steps", [*range(1, 129, 9), 50, 128])
def test_evaluations_are_as_many_as_stated_and_within_the_times(solver, num_steps, gaussian):
    result = solve(gaussian, noise_of(2, 6), Sampling(solver, num_steps, 1e-3))
    assert len(gaussian.times) == EVALUATIONS[solver](num_steps)
    assert max(gaussian.times) == 1.0
    assert min(gaussian.times) >= 1e-3
    assert result.isfinite().all()


def test_the_papers_solver_takes_301_evaluations_and_ends_exactly(gaussian):
    solve(gaussian, noise_of(2, 6), Sampling("dopri5", 50, 0.01))
    assert len(gaussian.times) == 301
    assert min(gaussian.times) == gaussian.times[-1] == 0.01


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_large_t_end_is_respected_by_few_and_by_many_steps(solver, gaussian):
    for num_steps in (1, 3, 40):
        solve(gaussian, noise_of(2, 6), Sampling(solver, num_steps, 0.1))
    assert min(gaussian.times) >= 0.1


@pytest.mark.parametrize("solver", EVALUATIONS)
@pytest.mark.parametrize("num_steps", [3, 6, 50])
def test_an_error_of_the_network_is_not_blown_up_by_large_steps(solver, num_steps, gaussian):
    """The flow itself makes of a constant error e about e (1 + log(1/t)) at time t."""
    error = 0.01
    right, wrong = (
        solve(lambda z, t, e=e: gaussian(z, t) + e, noise_of(8, 6), Sampling(solver, num_steps)) for e in (0.0, error)
    )
    assert (wrong - right).abs().max() < 8 * error


@pytest.mark.parametrize("solver", ORDERS)
def test_the_error_falls_with_the_order_of_the_solver(solver):
    """On the mixture between t = 0.95 and 0.6, where its flow is smooth."""
    flow = Mixture()
    start = solve_to(flow, noise_of(64, 8), "dopri5", 200, t_start=1.0, t_end=0.95)
    exact = solve_to(flow, start, "dopri5", 200, t_start=0.95, t_end=0.6)
    coarse, fine = (
        (solve_to(flow, start, solver, n, t_start=0.95, t_end=0.6) - exact).square().mean().sqrt().item()
        for n in (32, 64)
    )
    assert math.log2(coarse / fine) == pytest.approx(ORDERS[solver], abs=0.45)


def solve_to(flow, start, solver: str, num_steps: int, *, t_start: float, t_end: float):
    """The state at `t_end` instead of the jump from it: a prediction that remembers its last argument."""
    last = []

    def remembering(z, t):
        last[:] = [z]
        return flow(z, t)

    points = num_steps if solver == "dopri5" else num_steps + 1
    solve(remembering, start, Sampling(solver, points, t_end), t_start=t_start)
    return last[0]


@pytest.mark.parametrize(("solver", "method"), [("euler", "euler"), ("heun", "heun2"), ("dopri5", "dopri5")])
def test_equals_torchdiffeq(solver, method, gaussian):
    import torchdiffeq

    noise, n, t_end = noise_of(4, 6), 20, 0.1
    grid = torch.linspace(1.0, t_end, n + 1, dtype=torch.float64)

    def velocity(t, z):
        return (z - gaussian(z, t.expand(len(z)))) / t

    if method == "dopri5":
        step = (1.0 - t_end) / n
        options = {"first_step": step, "min_step": step, "max_step": step}
        end = torchdiffeq.odeint(velocity, noise, grid, method=method, options=options, atol=1e9)[-1]
        ours = solve(gaussian, noise, Sampling(solver, n, t_end))
    else:
        end = torchdiffeq.odeint(velocity, noise, grid, method=method)[-1]
        ours = solve(gaussian, noise, Sampling(solver, n + 1, t_end))
    torch.testing.assert_close(
        ours, gaussian(end, torch.full((4,), t_end, dtype=torch.float64)), atol=1e-12, rtol=1e-10
    )


@pytest.mark.parametrize(
    ("solver", "num_steps"), [("dopri5", 8), ("dopri5", 50), ("unipc", 50), ("dpmpp_2m", 100), ("heun", 50)]
)
def test_the_flow_of_a_gaussian_is_reached_sample_by_sample(solver, num_steps, gaussian):
    noise = noise_of(256, 6)
    samples = solve(gaussian, noise, Sampling(solver, num_steps, 1e-3))
    torch.testing.assert_close(samples, gaussian.mean + gaussian.std * noise, atol=1e-2, rtol=0.0)


def test_the_papers_solver_transports_a_gaussian_to_its_mean_and_spread(gaussian):
    noise = noise_of(4096, 6)
    noise = (noise - noise.mean(0)) / noise.std(0)
    samples = solve(gaussian, noise, Sampling("dopri5", 50, 1e-3))
    torch.testing.assert_close(samples.mean(0), gaussian.mean, atol=1e-3, rtol=0.0)
    torch.testing.assert_close(samples.std(0), gaussian.std, atol=1e-3, rtol=0.0)


@pytest.mark.parametrize(
    ("solver", "num_steps", "ceiling"),
    [
        ("dpmpp_2m", 50, 1e-2),
        ("unipc", 50, 5e-3),
        ("dopri5", 8, 2e-3),
        ("dopri5", 50, 1e-4),
        ("dopri5_adaptive", 10, 2e-3),
    ],
)
def test_errors_on_a_mixture_stay_below_their_ceilings(solver, num_steps, ceiling):
    flow, noise = Mixture(), noise_of(64, 8)
    exact = solve(flow, noise, Sampling("dopri5", 200, 1e-6))
    samples = solve(flow, noise, Sampling(solver, num_steps, 1e-3))
    assert (samples - exact).square().mean().sqrt() < ceiling


def test_stopping_at_the_clamp_of_the_loss_is_worse_by_orders(gaussian):
    noise = noise_of(256, 6)
    exact = gaussian.mean + gaussian.std * noise
    early, late = (
        (solve(gaussian, noise, Sampling("dopri5", 50, t_end)) - exact).abs().max() for t_end in (0.05, 1e-3)
    )
    assert early > 30 * late


def test_state_is_float32_and_repeatable_under_low_precision_predictions(gaussian):
    def low(z, t):
        assert z.dtype == t.dtype == torch.float32
        return gaussian(z.double(), t.double()).bfloat16()

    sample = partial(solve, low, noise_of(2, 6).bfloat16(), Sampling("dopri5", 50, 1e-3))
    assert sample().dtype == torch.float32
    assert torch.equal(sample(), sample())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_trajectory_counts_its_steps_down_to_the_solution(solver, gaussian):
    noise, sampling = noise_of(1, 6), Sampling(solver, 4)
    states = list(trajectory(gaussian, noise, sampling))
    expected = {"dopri5": [1, 2, 3, 4, 4], "dopri5_adaptive": [1]}.get(solver, [1, 2, 3, 4])
    assert {state.num_steps for state in states} == {expected[-1]}
    assert [state.step for state in states] == expected
    times = [state.t for state in states]
    assert times == sorted(times, reverse=True)
    assert torch.equal(states[-1].clean, solve(gaussian, noise, sampling))
    assert all(state.clean.isfinite().all() for state in states)


def test_nothing_is_computed_before_it_is_asked_for(gaussian):
    states = trajectory(gaussian, noise_of(1, 6), Sampling("euler", 50))
    assert gaussian.times == []
    next(states)
    next(states)
    assert len(gaussian.times) == 2


def test_a_state_carries_no_gradients():
    weight = torch.ones(1, requires_grad=True)
    for state in trajectory(lambda z, t: weight * z, noise_of(1, 6), Sampling("heun", 2)):
        assert not state.clean.requires_grad
        assert torch.is_grad_enabled()


def test_impossible_times_are_refused(gaussian):
    for t_end, t_start in ((0.5, 0.4), (0.5, 0.5), (1e-3, 1.5)):
        with pytest.raises(ConfigError, match="t_end"):
            solve(gaussian, noise_of(1, 6), Sampling("euler", 2, t_end), t_start=t_start)


@pytest.mark.parametrize("solver", SOLVERS)
def test_editing_at_strength_one_is_plain_sampling(solver, gaussian):
    clean, noise = noise_of(2, 6, seed=5), noise_of(2, 6)
    sampling = Sampling(solver, 7)
    edited = edit(gaussian, clean, noise, sampling, strength=1.0)
    assert torch.equal(edited, solve(gaussian, noise, sampling))


def test_editing_at_strength_zero_changes_nothing(gaussian):
    clean = noise_of(2, 6, seed=5)
    assert torch.equal(edit(gaussian, clean, noise_of(2, 6), Sampling("dopri5", 7), strength=0.0), clean)
    assert gaussian.times == []


def test_editing_starts_exactly_at_the_strength_with_the_step_size_kept(gaussian):
    edit(gaussian, noise_of(1, 6), noise_of(1, 6), Sampling("euler", 50, 1e-3), strength=0.5)
    assert gaussian.times[0] == 0.5
    assert len(gaussian.times) == 25


def test_editing_with_the_same_noise_returns_what_that_noise_had_become():
    """z at t = 0.6 of the straight line is not on the curved path, but its own flow leads back nearby."""
    flow, noise = Mixture(), noise_of(64, 8)
    sampling = Sampling("dopri5", 20)
    clean = solve(flow, noise, sampling)
    same = edit(flow, clean, noise, sampling, strength=0.6)
    other = edit(flow, clean, noise_of(64, 8, seed=9), sampling, strength=0.6)
    assert (same - clean).square().mean() < 0.5 * (other - clean).square().mean()
