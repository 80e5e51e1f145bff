"""Multistep methods on predicted clean latents: one evaluation a step.

In the log signal-to-noise ratio lambda = log((1 - t) / t) the linear part of the flow's equation is solved
exactly, which leaves the prediction x to approximate as a function of lambda:

    z(t') = t'/t z(t) + (1 - t'/t) * (a mean of x between t and t', weighted by exp(lambda))

DPM-Solver++(2M) takes the line through the last two predictions. UniPC (order 2, form B2) does the same, then evaluates
and corrects the step with a parabola through the new prediction too, which costs no evaluation as the next step needs
that prediction anyway. As lambda is infinite at t = 1, a step from there knows no slope, and neither does the next.

Source: DPM-Solver++ (arXiv:2211.01095), UniPC (arXiv:2302.04867).
"""

from collections.abc import Iterator
from itertools import pairwise
from math import expm1, inf, log

import torch

from medsyn2.flow.path import Latents, PredictAt


def multistep(
    predict_at: PredictAt, z: Latents, times: list[float], *, corrected: bool
) -> Iterator[tuple[float, Latents]]:
    """Go from the first to the last of `times` and jump to the prediction there.

    Yields:
        The time after each step and the newest prediction; last the jump's.

    Args:
        times: Falling, above 0.
        corrected: UniPC's corrector; without it this is DPM-Solver++(2M).
    """
    clean = predict_at(z, times[0])
    before: tuple[Latents, float] | None = None
    for t, t_next in pairwise(times):
        share = 1.0 - t_next / t
        h = _log_snr(t_next) - _log_snr(t)
        held = (1.0 - share) * z + share * clean  # the prediction held constant: an exact first-order step
        slope, on_slope, on_change = torch.zeros_like(z), 0.0, 0.5
        if before is not None:
            clean_before, h_before = before
            slope = (clean - clean_before) * (h / h_before)
            on_slope, on_change = _corrector_weights(h, h_before)
        z = held + 0.5 * share * slope
        clean_next = predict_at(z, t_next)
        if corrected:
            z = held + share * (on_slope * slope + on_change * (clean_next - clean))
        before = (clean, h) if h < inf else None
        clean = clean_next
        yield t_next, clean
    yield times[-1], clean


def _log_snr(t: float) -> float:
    return log((1.0 - t) / t) if t < 1.0 else -inf


def _corrector_weights(h: float, h_before: float) -> tuple[float, float]:
    """Return the weights of the past slope and of the newest change that make the corrector exact for parabolas."""
    ratio = -h_before / h
    first = expm1(-h) / -h - 1.0
    second = first / -h - 0.5
    moment_1, moment_2 = first / expm1(-h), 2.0 * second / expm1(-h)
    on_slope = (moment_2 - moment_1) / (ratio - 1.0)
    return on_slope, moment_1 - on_slope
