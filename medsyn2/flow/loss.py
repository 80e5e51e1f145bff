"""The training loss: equation 4, in the form that can be computed.

With v_theta = (z_t - x_theta) / t and the true velocity (z_t - z_0) / t the loss is

    || v_theta - v ||^2 = || x_theta - z_0 ||^2 / t^2.

The right side is used: the left takes the difference of two numbers that grow as 1/t, which float32 cannot
hold near t = 0. There t is clamped from below, as a network's error does not vanish with t. The square norm
is a mean over elements, so that the loss does not depend on the size of the volume.
"""

from torch import Tensor

from medsyn2.flow.path import Latents
from medsyn2.types import Float


def velocity_loss(
    predicted: Latents,
    clean: Latents,
    t: Float[Tensor, " b"],
    t_clamp: float,
) -> Float[Tensor, " b"]:
    """Return the loss of each sample, computed in float32.

    Args:
        t_clamp: Smallest t in the weight 1/t^2; above 0.

    Source: Equation 4; the clamp is JiT's (arXiv:2511.13720).
    """
    squared_error = (predicted.float() - clean.float()).square().flatten(1).mean(dim=1)
    return squared_error / t.float().clamp(min=t_clamp).square()
