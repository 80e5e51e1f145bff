"""The path between clean latents and noise."""

import torch

from medsyn2.flow.path import clean_from_velocity, interpolate, velocity, velocity_from_clean

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


def test_velocity_is_the_derivative_of_the_path():
    t, dt = torch.full((3,), 0.4), 1e-2
    difference = (interpolate(CLEAN, NOISE, t + dt) - interpolate(CLEAN, NOISE, t - dt)) / (2 * dt)
    torch.testing.assert_close(difference, velocity(CLEAN, NOISE), atol=1e-4, rtol=1e-4)


def test_clean_latents_and_velocity_determine_each_other():
    t = torch.tensor([0.1, 0.5, 1.0])
    z = interpolate(CLEAN, NOISE, t)
    torch.testing.assert_close(velocity_from_clean(z, CLEAN, t), velocity(CLEAN, NOISE), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(clean_from_velocity(z, velocity(CLEAN, NOISE), t), CLEAN, atol=1e-6, rtol=1e-5)


def test_a_step_along_the_velocity_towards_zero_approaches_the_clean_latents():
    t, dt = torch.full((3,), 0.8), 0.1
    z = interpolate(CLEAN, NOISE, t)
    stepped = z - dt * velocity_from_clean(z, CLEAN, t)
    torch.testing.assert_close(stepped, interpolate(CLEAN, NOISE, t - dt))
    assert (stepped - CLEAN).norm() < (z - CLEAN).norm()
