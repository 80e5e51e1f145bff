"""Known latents outside a region: what the network sees of them, what is left, and the noise of resampling."""

from functools import partial
from typing import get_args

import pytest
import torch

from medsyn2.flow.inpainting import inpaint_trajectory, keep_outside, take_back
from medsyn2.flow.path import interpolate
from medsyn2.flow.sampling import Sampling, Solver
from medsyn2.flow.solvers import edit, solve

SHAPE = (1, 4, 3, 4, 5)
REGION = torch.zeros(3, 4, 5, dtype=torch.bool)
REGION[1:, 1:3, 2:] = True


def randn(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CLEAN, TARGET = randn(1), randn(2)


def draws(seed=3):
    generator = torch.Generator().manual_seed(seed)
    return partial(torch.randn, SHAPE, generator=generator, dtype=torch.float64)


class Network:
    """Predicts a mixture of a fixed target and the state, and keeps what it was shown."""

    def __init__(self) -> None:
        self.seen = []

    def __call__(self, z, t):
        self.seen.append((z, t[0].item()))
        return 0.8 * TARGET + 0.1 * z


def inpaint(network, sampling, draw=None, **how):
    *_, last = inpaint_trajectory(network, CLEAN, draw or draws(), REGION, sampling, **{"strength": 1.0, **how})
    return last.clean


@pytest.mark.parametrize("solver", get_args(Solver))
@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_the_network_sees_the_known_latents_noised_to_its_time_and_they_remain(solver, strength):
    network, noise = Network(), draws()()
    result = inpaint(network, Sampling(solver, 6), strength=strength)
    assert torch.equal(result[..., ~REGION], CLEAN[..., ~REGION])
    assert not torch.isclose(result[..., REGION], CLEAN[..., REGION]).any()
    # The authors' solver leaves another share of noise than it tells the network.
    told = solver == "warped_midpoint"
    for z, t in network.seen:
        expected = interpolate(CLEAN, noise, torch.tensor([t], dtype=torch.float64))
        torch.testing.assert_close(z[..., ~REGION], expected[..., ~REGION], atol=0.2 if told else 1e-9, rtol=0)


@pytest.mark.parametrize("solver", ["euler", "unipc"])
def test_a_region_of_everything_is_a_plain_edit_and_one_of_nothing_changes_nothing(solver):
    network, sampling, noise = Network(), Sampling(solver, 5), draws()()
    for region, expected in (
        (torch.ones_like(REGION), edit(network, CLEAN, noise, sampling, strength=0.7)),
        (torch.zeros_like(REGION), CLEAN),
    ):
        *_, last = inpaint_trajectory(network, CLEAN, draws(), region, sampling, strength=0.7)
        torch.testing.assert_close(last.clean, expected)


def test_no_strength_changes_nothing_and_asks_the_network_nothing():
    network = Network()
    assert torch.equal(inpaint(network, Sampling("unipc", 4), strength=0.0, resamplings=3), CLEAN)
    assert network.seen == []


def test_going_back_keeps_the_shares_of_clean_latents_and_of_noise():
    clean, s, t = torch.full((1, 100_000), 3.0), 0.3, 0.7
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(clean.shape, generator=generator) for _ in range(2))
    back = take_back(interpolate(clean, first, torch.tensor([s])), s, t, second)
    assert back.mean().item() == pytest.approx((1 - t) * 3, abs=0.01)
    assert back.std().item() == pytest.approx(t, abs=0.01)
    torch.testing.assert_close(take_back(clean, s, 1.0, second), second)


def test_resampling_solves_each_step_so_often_and_keeps_what_is_known():
    network = Network()
    states = list(
        inpaint_trajectory(network, CLEAN, draws(), REGION, Sampling("euler", 4), strength=1.0, resamplings=3)
    )
    assert len(network.seen) == 3 * 3 + 1  # three intervals, and the jump
    assert [state.step for state in states] == list(range(1, 11))
    assert {state.num_steps for state in states} == {10}
    assert torch.equal(states[-1].clean[..., ~REGION], CLEAN[..., ~REGION])
    times = [t for _, t in network.seen]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == 4


def test_one_resampling_by_euler_is_the_plain_solution():
    sampling = Sampling("euler", 5)
    network = keep_outside(Network(), CLEAN, REGION)
    expected = solve(network, draws()(), sampling)
    torch.testing.assert_close(inpaint(Network(), sampling)[..., REGION], expected[..., REGION])
