"""The path between clean latents and noise."""

import torch

from medsyn2.flow.path import along, interpolate

CLEAN, NOISE = torch.randn(2, 3, 4, 2, 3, 2, generator=torch.Generator().manual_seed(0)).unbind()


def test_the_ends_are_exact():
    assert torch.equal(interpolate(CLEAN, NOISE, torch.zeros(3)), CLEAN)
    assert torch.equal(interpolate(CLEAN, NOISE, torch.ones(3)), NOISE)


def test_each_sample_has_its_own_time():
    t = torch.tensor([0.0, 0.25, 1.0])
    z = interpolate(CLEAN, NOISE, t)
    torch.testing.assert_close(z[1], 0.75 * CLEAN[1] + 0.25 * NOISE[1])
    assert torch.equal(z[0], CLEAN[0])
    assert torch.equal(z[2], NOISE[2])


def test_the_derivative_of_the_path_is_where_it_came_from_less_where_it_leads_over_t():
    t, dt = torch.full((3,), 0.4), 1e-2
    difference = (interpolate(CLEAN, NOISE, t + dt) - interpolate(CLEAN, NOISE, t - dt)) / (2 * dt)
    torch.testing.assert_close(difference, NOISE - CLEAN, atol=1e-4, rtol=1e-4)
    velocity = (interpolate(CLEAN, NOISE, t) - CLEAN) / along(t, CLEAN)
    torch.testing.assert_close(velocity, NOISE - CLEAN, atol=1e-5, rtol=1e-5)
