"""The path between clean latents and noise: a straight line.

    z_t = (1 - t) z_0 + t eps,    t = 0 clean, t = 1 noise                    (equation 3)
    velocity = dz_t/dt = eps - z_0 = (z_t - z_0) / t

The network predicts z_0; everything else follows from it by the second line. Other code bases run time the
other way (t' = 1 - t, velocity' = -velocity): a logit-normal distribution of times with mean -0.8 there is
one with mean +0.8 here. Only this module and the solvers know the signs.
"""

from collections.abc import Callable

from torch import Tensor

from medsyn2.types import Float

Latents = Float[Tensor, "b *latent"]
PredictAt = Callable[[Latents, float], Latents]
"""Predicted clean latents of z and one time t for all of the batch."""


def interpolate(clean: Latents, noise: Latents, t: Float[Tensor, " b"]) -> Latents:
    """Return z_t on the line from `clean` (t = 0) to `noise` (t = 1), exact at both ends."""
    t = along(t, clean)
    return (1 - t) * clean + t * noise


def along(t: Float[Tensor, " b"], like: Latents) -> Float[Tensor, "b ..."]:
    """Return `t` with axes of length one after the first, to multiply with `like`."""
    return t.view(-1, *([1] * (like.ndim - 1)))


def velocity_loss(
    predicted: Latents,
    clean: Latents,
    t: Float[Tensor, " b"],
    t_clamp: float,
    weights: Float[Tensor, "b ..."] | None = None,
) -> Float[Tensor, " b"]:
    """Return the loss of each sample, || x_theta - z_0 ||^2 / t^2 as a mean over elements, in float32.

    It equals || v_theta - v ||^2 with v_theta = (z_t - x_theta) / t, which would be the difference of two numbers that
    grow as 1/t, beyond float32 near t = 0. There t is clamped from below, as a network's error does not vanish with t.

    Args:
        t_clamp: Smallest t in the weight 1/t^2; above 0.
        weights: Weight of each element, of mean 1 in each sample, in a shape that broadcasts; all count alike if None.

    Source: Equation 4; the clamp is JiT's (arXiv:2511.13720).
    """
    squared_error = (predicted.float() - clean.float()).square()
    if weights is not None:
        squared_error = squared_error * weights
    return squared_error.flatten(1).mean(dim=1) / t.float().clamp(min=t_clamp).square()
