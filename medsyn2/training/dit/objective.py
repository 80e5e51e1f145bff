"""The objective of the diffusion transformer: draw a time and noise, predict, weigh the error.

One call is one micro-step: for each case of the batch a time t and noise are drawn, the clean latents are
noised to z_t, the network predicts them back, and the error is weighted by 1/t^2 (``medsyn2.flow.loss``).
Which conditions a case has was decided when the batch was made (conditioning randomization, section 3.3).

The losses are also summed by time in ten bins. An instability of this objective shows first in the bin next
to t = 0, long before the mean moves.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medsyn2.config import FlowConfig
from medsyn2.flow.loss import velocity_loss
from medsyn2.flow.path import interpolate
from medsyn2.flow.timesteps import draw_times
from medsyn2.nn.transformer.conditioning import Conditioning
from medsyn2.types import Float

TIME_BINS = 10


@dataclass(frozen=True)
class DiTBatch:
    """What a micro-step needs.

    Attributes:
        clean_latents: Normalised image latents.
        conditioning: The conditions: mask latents, text and its mask.
    """

    clean_latents: Float[Tensor, "b z ld lh lw"]
    conditioning: Conditioning


@dataclass(frozen=True)
class Losses:
    """Losses of a micro-step.

    Attributes:
        loss: Mean over the batch; to be differentiated.
        bin_sums: Sum of the samples' losses whose t lies in each tenth of [0, 1], detached.
        bin_counts: Number of those samples.
    """

    loss: Float[Tensor, ""]
    bin_sums: Float[Tensor, " bins"]
    bin_counts: Float[Tensor, " bins"]


class DiTObjective:
    """Equation 4 with times drawn as `flow` says.

    Args:
        flow: Distribution of times and clamp of the weight.
    """

    def __init__(self, flow: FlowConfig) -> None:
        self.flow = flow

    def __call__(self, dit: nn.Module, batch: DiTBatch, generator: torch.Generator) -> Losses:
        """Return the losses of one micro-step.

        Args:
            dit: The network, or what wraps it for distributed training.
            batch: Clean latents and conditions.
            generator: Source of the times and the noise. On the CPU it gives the same draws whichever device
                trains.

        Returns:
            The loss to differentiate, and the losses by time.
        """
        clean = batch.clean_latents
        flow = self.flow
        t = draw_times(len(clean), flow.t_distribution, flow.t_logit_mean, flow.t_logit_std, generator)
        noise = torch.randn(clean.shape, generator=generator, device=generator.device)
        t, noise = t.to(clean.device), noise.to(clean.device)
        predict_clean = batch.conditioning.bind(dit)
        predicted = predict_clean(interpolate(clean, noise, t), t)
        losses = velocity_loss(predicted, clean, t, flow.t_clamp)
        sums, counts = sum_by_time(losses.detach(), t)
        return Losses(losses.mean(), sums, counts)


def sum_by_time(
    losses: Float[Tensor, " b"], t: Float[Tensor, " b"]
) -> tuple[Float[Tensor, " bins"], Float[Tensor, " bins"]]:
    """Return the sum of `losses` and their number in each tenth of [0, 1]."""
    tenth = (t * TIME_BINS).long().clamp(max=TIME_BINS - 1)
    empty = torch.zeros(TIME_BINS, dtype=losses.dtype, device=losses.device)
    return empty.index_add(0, tenth, losses), empty.index_add(0, tenth, torch.ones_like(losses))
