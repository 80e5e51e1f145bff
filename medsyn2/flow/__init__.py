"""The rectified flow: path, times, loss, solvers, guidance. Torch alone; knows neither text nor files.

    from medsyn2.flow import Sampling, solve

    clean = solve(predict_clean, noise, Sampling(solver="unipc", num_steps=50))

`trajectory` yields each state on the way, for a preview or to stop early.
"""

from typing import TYPE_CHECKING

from medsyn2.faces import lazy
from medsyn2.flow.sampling import Sampling, Solver

if TYPE_CHECKING:
    from medsyn2.flow.guidance import guide
    from medsyn2.flow.path import interpolate, velocity_loss
    from medsyn2.flow.solvers import State, edit, edit_trajectory, solve, trajectory
    from medsyn2.flow.timesteps import draw_times
else:
    _SOLVERS = ("State", "edit", "edit_trajectory", "solve", "trajectory")
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "draw_times": "medsyn2.flow.timesteps",
            "guide": "medsyn2.flow.guidance",
            "interpolate": "medsyn2.flow.path",
            "velocity_loss": "medsyn2.flow.path",
            **dict.fromkeys(_SOLVERS, "medsyn2.flow.solvers"),
        },
    )

__all__ = [
    "Sampling",
    "Solver",
    "State",
    "draw_times",
    "edit",
    "edit_trajectory",
    "guide",
    "interpolate",
    "solve",
    "trajectory",
    "velocity_loss",
]
