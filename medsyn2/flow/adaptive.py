"""Dormand-Prince with a step size that follows the error: torchdiffeq's ``dopri5``, kept off t = 0.

By itself torchdiffeq steps beyond the end and interpolates back. With velocities (z - x) / t that is an
evaluation at t <= 0, seen as far as t = -0.46. Here the last step is made to end at the end exactly, and a time
outside the interval, which only a first step might still ask for, is moved to its edge.

"A Dormand-Prince solver with 50 steps" may mean this one: in SiT's sampler, on which such code is often built,
50 is the number of points that are returned, and the tolerances alone decide the steps.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from medsyn2.errors import ConfigError
from medsyn2.flow.path import Latents, PredictAt

RTOL, ATOL = 1e-3, 1e-6
"""Tolerances of a step's error, as in SiT's sampler."""


def adaptive_dopri5(
    predict_at: PredictAt,
    z: Latents,
    *,
    num_steps: int,
    t_start: float,
    t_end: float,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> Iterator[tuple[float, Latents]]:
    """Integrate from `t_start` to `t_end`, jump to the prediction there and yield it.

    It is the only state: torchdiffeq hands over none before it has them all.

    Args:
        num_steps: The first step is one part in so many of the interval; tolerances decide all others.

    Raises:
        ConfigError: If no step is small enough, as when the network predicts NaN.
    """
    from torchdiffeq import odeint  # late: everything else here needs torch alone

    def velocity(t: Tensor, z: Latents) -> Latents:
        at = min(max(t.item(), t_end), t_start)
        return (z - predict_at(z, at)) / at

    times = torch.tensor([t_start, t_end], dtype=torch.float64, device=z.device)
    options = {"step_t": times[1:], "first_step": (t_start - t_end) / num_steps}
    try:
        z = odeint(velocity, z, times, rtol=rtol, atol=atol, method="dopri5", options=options)[-1]
    except AssertionError as error:  # torchdiffeq's way to say that the step size vanished
        raise ConfigError(
            f"expected a flow that steps of some size can follow, got none at rtol {rtol} and atol {atol}: {error}.",
            code="solver-diverged",
            remedy="look for NaN in the network's predictions, or take a solver with fixed steps such as unipc.",
        ) from error
    yield t_end, predict_at(z, t_end)
