"""Times: how they are drawn in training, and where a solver evaluates.

The loss weighs the error of the predicted clean latents by 1/t^2. Its variance stays finite by the
distribution of t: for the logit-normal with mean m and standard deviation s,

    E[1/t^2] = 1 + 2 exp(-m + s^2/2) + exp(-2m + 2 s^2),

which is 3.0 for (0.8, 0.8), while the uniform distribution has no finite value. Its price is that t < 0.1 is
hardly ever seen; the mixture spends a tenth of its draws uniformly to cover it.

In the authors' code a uniform u is warped to t = 1 / (tan(pi u / 2) + 1), as by their solver (``warped.py``). That
density is symmetric about t = 1/2, where it is 4 / pi, and half as high at the ends.
"""

from typing import Literal

import torch
from torch import Tensor

from medsyn2.types import Bool, Float

TimeDistribution = Literal["logit_normal", "uniform", "mixture", "warped"]

UNIFORM_SHARE = 0.1


def draw_times(
    n: int, distribution: TimeDistribution, mean: float, std: float, generator: torch.Generator
) -> Float[Tensor, " n"]:
    """Draw `n` independent times in [0, 1] on the generator's device.

    Args:
        distribution: ``logit_normal``; ``uniform``; ``mixture``: 0.9 of the first and 0.1 of the second; or ``warped``.
        mean: Mean of logit(t) of the logit-normal part.
        std: Standard deviation of logit(t) of the logit-normal part.

    Source: Logit-normal: JiT (arXiv:2511.13720), whose t is 1 - t here.
    """
    device = generator.device
    if distribution in {"uniform", "warped"}:
        even = torch.rand(n, generator=generator, device=device)
        return even if distribution == "uniform" else 1 / (torch.tan(torch.pi * even / 2) + 1)
    logits = mean + std * torch.randn(n, generator=generator, device=device)
    if distribution == "logit_normal":
        return logits.sigmoid()
    uniform = torch.rand(n, generator=generator, device=device)
    chosen: Bool[Tensor, " n"] = torch.rand(n, generator=generator, device=device) < UNIFORM_SHARE
    return torch.where(chosen, uniform, logits.sigmoid())


def time_grid(num_points: int, t_start: float, t_last: float) -> list[float]:
    """Return evenly spaced times from `t_start` down to `t_last`, both exact.

    Python floats, not a tensor: adding up steps in float32 ends beside the last point, and a solver that
    evaluates there divides by a t that is not the one it was given.
    """
    if num_points == 1:
        return [t_start]
    inner = (t_start + (t_last - t_start) * i / (num_points - 1) for i in range(1, num_points - 1))
    return [t_start, *inner, t_last]
