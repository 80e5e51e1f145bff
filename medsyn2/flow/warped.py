"""The solver of the authors' released code, with its warped time.

A solver time s runs evenly from 0 (noise) to 1 (clean) and is warped to tau = 1 - 1 / (tan(pi s / 2) + 1), the
time the network is told; tau = 1 - t in the time of this package. Their code integrates

    dz/ds = (x(z, t) - z) / t,        t(s) = 1 / (tan(pi s / 2) + 1)

by the midpoint rule, and leaves out the factor dtau/ds that a change of variable brings. So the noise left at s is not
t(s) but exp(-s) cos(pi s / 2)^(2 / pi), up to 0.04 more than the network is told, and 0.5 % remains at the end, where
there is no jump. It is here to reproduce their network; on another network any other solver is better.

Source: batmanlab/MedSynV2 at 5be924c and torchdiffeq's ``midpoint``: read and compared with, no code taken.
"""

from collections.abc import Iterator
from math import atan, pi, tan

from medsyn2.flow.path import Latents, PredictAt


def warped_midpoint(
    predict_at: PredictAt, z: Latents, *, num_steps: int, t_start: float, t_end: float
) -> Iterator[tuple[float, Latents]]:
    """Integrate from `t_start`; two evaluations a step, the last at about t = 0.8 / `num_steps`.

    Yields:
        After each step the time of its middle, as the network was told, and the prediction there; at the end the state.

    Args:
        num_steps: Steps; the authors' 50 grid points are 49.
        t_start: Time that the network is told first.
        t_end: The network is never told a smaller time, nor a velocity divided by one.
    """
    s_start = 2 / pi * atan(1 / t_start - 1)
    ds = (1 - s_start) / num_steps

    def told(s: float) -> float:
        return max(1 / (tan(pi * s / 2) + 1), t_end)

    for done in range(num_steps):
        s = s_start + done * ds
        middle = z + ds / 2 * ((predict_at(z, told(s)) - z) / told(s))
        t = told(s + ds / 2)
        clean = predict_at(middle, t)
        z = z + ds * ((clean - middle) / t)
        yield t, z if done == num_steps - 1 else clean
