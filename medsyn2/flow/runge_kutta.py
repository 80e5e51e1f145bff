"""Explicit Runge-Kutta methods on a fixed grid of times, as tables of numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from medsyn2.flow.path import Latents, PredictAt


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta method: where its stages are, how they are reached, how they are summed.

    A stage at the end of the step whose weight is zero is left out: it is the next step's first, and after
    the last step it is the jump.
    """

    nodes: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


TABLEAUX: dict[str, Tableau] = {
    "euler": Tableau(nodes=(0.0,), rows=((),), weights=(1.0,)),
    "heun": Tableau(nodes=(0.0, 1.0), rows=((), (1.0,)), weights=(1 / 2, 1 / 2)),
    "dopri5": Tableau(
        nodes=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0),
        rows=(
            (),
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        ),
        weights=(35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
}


def runge_kutta(
    tableau: Tableau, predict_at: PredictAt, z: Latents, times: list[float]
) -> Iterator[tuple[float, Latents]]:
    """Integrate the velocity (z - x) / t over `times` and jump to the prediction at the last.

    Yields:
        The time after each step and the newest prediction, that of its last stage; at the end the jump's.

    Args:
        times: Falling, above 0; each is met exactly.
    """
    for t, t_next in pairwise(times):
        dt = t_next - t
        slopes: list[Latents] = []
        for node, row in zip(tableau.nodes, tableau.rows, strict=True):
            at = t_next if node == 1.0 else t + node * dt
            stage = z + dt * _combine(row, slopes) if row else z
            clean = predict_at(stage, at)
            slopes.append((stage - clean) / at)
        z = z + dt * _combine(tableau.weights, slopes)
        yield t_next, clean
    yield times[-1], predict_at(z, times[-1])


def _combine(weights: tuple[float, ...], slopes: list[Latents]) -> Latents:
    first, *others = (weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight)
    return sum(others, start=first)
