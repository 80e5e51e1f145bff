"""The path between clean latents and noise."""

import torch

from medsyn2.flow.path import along, interpolate, velocity_loss

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


def literal_loss(predicted, clean, z, t):
    """Equation 4 as it is printed, with a mean over elements."""
    predicted_velocity = (predicted - z) / (0 - along(t, z))
    velocity = (clean - z) / (0 - along(t, z))
    return (predicted_velocity - velocity).square().flatten(1).mean(1)


def batch(dtype=torch.float32):
    torch.manual_seed(0)
    clean, noise, predicted = torch.randn(3, 5, 4, 2, 3, 2).to(dtype).unbind()
    return predicted, clean, noise


def test_equals_the_literal_form():
    predicted, clean, noise = batch()
    t = torch.tensor([0.06, 0.2, 0.5, 0.9, 1.0])
    z = interpolate(clean, noise, t)
    torch.testing.assert_close(velocity_loss(predicted, clean, t, 0.05), literal_loss(predicted, clean, z, t))


def test_gradient_is_the_weighted_error():
    predicted, clean, _ = batch()
    t = torch.tensor([0.01, 0.06, 0.2, 0.9, 1.0])
    predicted.requires_grad_()
    velocity_loss(predicted, clean, t, 0.05).sum().backward()
    weight = along(1 / t.clamp(min=0.05) ** 2, clean)
    torch.testing.assert_close(predicted.grad, 2 * weight * (predicted.detach() - clean) / clean[0].numel())


def test_is_one_value_a_sample_and_none_is_mixed_with_another():
    predicted, clean, _ = batch()
    t = torch.full((5,), 0.5)
    losses = velocity_loss(predicted, clean, t, 0.05)
    assert losses.shape == (5,)
    torch.testing.assert_close(velocity_loss(predicted[2:3], clean[2:3], t[2:3], 0.05), losses[2:3])


def test_the_clamp_bounds_the_weight():
    predicted, clean, _ = batch()
    at_clamp = velocity_loss(predicted, clean, torch.full((5,), 0.05), 0.05)
    assert torch.equal(velocity_loss(predicted, clean, torch.zeros(5), 0.05), at_clamp)


def test_low_precision_predictions_are_weighed_in_float32():
    predicted, clean, _ = batch()
    losses = velocity_loss(predicted.bfloat16(), clean, torch.full((5,), 1e-6), 1e-3)
    assert losses.dtype == torch.float32
    assert losses.isfinite().all()


def test_predicting_zero_for_unit_variance_costs_the_mean_weight():
    clean = torch.randn(4, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.05, 0.1, 0.5, 1.0])
    losses = velocity_loss(torch.zeros_like(clean), clean, t, 0.05)
    torch.testing.assert_close(losses, t**-2, rtol=0.05, atol=0.0)


def test_a_clamp_of_one_is_the_squared_error_of_the_clean_latents():
    predicted, clean = torch.randn(2, 6, 3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 1, 6)
    expected = (predicted - clean).square().flatten(1).mean(dim=1)
    torch.testing.assert_close(velocity_loss(predicted, clean, t, 1.0), expected.float())
