"""Solving inside a region of known latents, with the rest restored to the known latents, noised, at every time.

Outside the region the prediction is replaced by the known latents z_0. The velocity is then (z - z_0) / t, whose
solution through the start (1 - t) z_0 + t eps is that straight line itself, for every solver here. So at each
evaluation the network sees the known latents, noised to that time, around what it makes, and z_0 remains at the end.

*Resampling* repeats each step: the state is taken back by fresh noise and solved again, so that the inside can settle
to the surroundings and not only the other way round. From time s back to t > s,

    z_t = a z_s + b eps',    a = (1 - t) / (1 - s),    b^2 = t^2 - a^2 s^2,

which keeps the shares of clean latents and of noise of the path. New noise leaves nothing of the history that a solver
of higher order extrapolates, so that these steps are Euler's.

Source: RePaint (Lugmayr et al., arXiv:2201.09865), for the flow's straight path in place of a diffusion's.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import ceil, sqrt

import torch

from medsyn2.flow.guidance import PredictClean
from medsyn2.flow.path import Latents, interpolate
from medsyn2.flow.sampling import Sampling
from medsyn2.flow.solvers import State, edit_trajectory
from medsyn2.flow.timesteps import time_grid
from medsyn2.types import Bool, Float

Region = Bool[torch.Tensor, "*region"]


def inpaint_trajectory(
    predict_clean: PredictClean,
    clean: Latents,
    draw_noise: Callable[[], Latents],
    region: Region,
    sampling: Sampling,
    *,
    strength: float,
    resamplings: int = 1,
) -> Iterator[State]:
    """Change `clean` latents inside a region under new conditions, as `edit_trajectory` does with all of them.

    Outside the region the last state has the values of `clean` themselves.

    Args:
        draw_noise: Returns Gaussian noise like `clean`: once, and with resampling again for each time back.
        region: Where the latents change, with or without the axes of batch and channels.
        strength: Between 0 and 1; 1 keeps nothing inside.
        resamplings: Solutions of each step; 1 is a plain solution by the sampling's solver.
    """
    inside = keep_outside(predict_clean, clean, region)
    noise = draw_noise()
    if resamplings == 1 or strength <= sampling.t_end:
        states = edit_trajectory(inside, clean, noise, sampling, strength=strength)
    else:
        states = _resample(inside, clean, noise, draw_noise, sampling, strength, resamplings)
    for state in states:
        # Only a solver without a jump ends beside the prediction.
        yield state._replace(clean=torch.where(region, state.clean, clean.to(state.clean.dtype)))


def keep_outside(predict_clean: PredictClean, clean: Latents, region: Region) -> PredictClean:
    """Return the prediction inside a region, and the known latents outside."""

    def predict(latents: Latents, t: Float[torch.Tensor, " b"]) -> Latents:
        found = predict_clean(latents, t)
        return torch.where(region, found, clean.to(found.dtype))

    return predict


def take_back(latents: Latents, s: float, t: float, noise: Latents) -> Latents:
    """Return latents at time `s` taken back to a noisier time `t` by fresh noise."""
    share = (1.0 - t) / (1.0 - s)
    return share * latents + sqrt(max(t**2 - (share * s) ** 2, 0.0)) * noise


def _resample(
    predict_clean: PredictClean,
    clean: Latents,
    noise: Latents,
    draw_noise: Callable[[], Latents],
    sampling: Sampling,
    strength: float,
    resamplings: int,
) -> Iterator[State]:
    steps = max(1, ceil(sampling.num_steps * strength))
    times = time_grid(steps, strength, max(strength / steps, sampling.t_end))
    total = resamplings * (len(times) - 1) + 1
    start = torch.full((len(clean),), strength, dtype=clean.dtype, device=clean.device)
    z, done = interpolate(clean, noise, start).to(torch.promote_types(clean.dtype, torch.float32)), 0

    @torch.no_grad()
    def predict_at(z: Latents, t: float) -> Latents:
        return predict_clean(z, torch.full((len(z),), t, dtype=z.dtype, device=z.device)).to(z.dtype)

    for t, t_next in pairwise(times):
        for again in range(resamplings):
            if again:
                z = take_back(z, t_next, t, draw_noise())
            found = predict_at(z, t)
            z = z + (t_next - t) / t * (z - found)
            done += 1
            yield State(t_next, found, done, total)
    yield State(times[-1], predict_at(z, times[-1]), total, total)
