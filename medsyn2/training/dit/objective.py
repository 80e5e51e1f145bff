"""The objective of the diffusion transformer.

A micro-step draws a time t and noise for each case, noises the clean latents to z_t, lets the network predict them
and weights the error by 1/t^2 (``medsyn2.flow.path``). The conditions of a case are chosen when the batch is made
(conditioning randomization, section 3.3).

Losses are also summed by time in ten bins: an instability shows in the bin next to t = 0 long before the mean moves.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medsyn2.config import FlowConfig
from medsyn2.flow.path import interpolate, velocity_loss
from medsyn2.flow.timesteps import draw_times
from medsyn2.nn.transformer.conditioning import Conditioning
from medsyn2.types import Float

TIME_BINS = 10


@dataclass(frozen=True)
class DiTBatch:
    """Data of a micro-step."""

    clean_latents: Float[Tensor, "b z ld lh lw"]  # Normalised image latents
    conditioning: Conditioning  # Mask latents, text and its mask
    loss_weights: Float[Tensor, "b 1 ld lh lw"] | None = None  # Of each voxel, of mean 1; all count alike if None


@dataclass(frozen=True)
class Losses:
    """Losses of a micro-step."""

    loss: Float[Tensor, ""]  # Mean over the batch, to differentiate
    bin_sums: Float[Tensor, " bins"]  # Detached sum of the losses with t in each tenth of [0, 1]
    bin_counts: Float[Tensor, " bins"]  # Number of samples in each tenth


class DiTObjective:
    """Equation 4."""

    def __init__(self, flow: FlowConfig) -> None:
        self.flow = flow

    def __call__(self, dit: nn.Module, batch: DiTBatch, generator: torch.Generator) -> Losses:
        """Return the losses of one micro-step.

        Args:
            generator: Source of times and noise; on the CPU the draws do not depend on the training's device.
        """
        clean = batch.clean_latents
        flow = self.flow
        t = draw_times(len(clean), flow.t_distribution, flow.t_logit_mean, flow.t_logit_std, generator)
        noise = torch.randn(clean.shape, generator=generator, device=generator.device)
        t, noise = t.to(clean.device), noise.to(clean.device)
        predict_clean = batch.conditioning.bind(dit)
        predicted = predict_clean(interpolate(clean, noise, t), t)
        losses = velocity_loss(predicted, clean, t, flow.t_clamp, batch.loss_weights)
        sums, counts = sum_by_time(losses.detach(), t)
        return Losses(losses.mean(), sums, counts)


def sum_by_time(
    losses: Float[Tensor, " b"], t: Float[Tensor, " b"]
) -> tuple[Float[Tensor, " bins"], Float[Tensor, " bins"]]:
    """Return the sum and the number of `losses` with `t` in each tenth of [0, 1]."""
    tenth = (t * TIME_BINS).long().clamp(max=TIME_BINS - 1)
    empty = torch.zeros(TIME_BINS, dtype=losses.dtype, device=losses.device)
    return empty.index_add(0, tenth, losses), empty.index_add(0, tenth, torch.ones_like(losses))
