"""Loss of a trained model on a given volume, at chosen times and with chosen noise.

Trainings differ in the times and conditions they draw, so that their own losses do not compare. Here every model gets
the same volume, conditions, times and noise, without guidance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medsyn2.ct.intensity import hu_to_unit, unit_to_hu
from medsyn2.ct.volume import CTVolume
from medsyn2.flow.path import interpolate, velocity_loss
from medsyn2.flow.sampling import Sampling
from medsyn2.nn.autoencoder.windows import decode_windowed, encode_windowed
from medsyn2.pipeline.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.synthetic import Recipe

Latents = Float[Tensor, "1 z ld lh lw"]
UNGUIDED = Sampling(guidance_report=1.0, guidance_mask=1.0)


@torch.inference_mode()
def encode_volume(pipeline: MedSyn2Pipeline, volume: CTVolume) -> Latents:
    """Return the normalised latents of a volume on the model's grid."""
    described = pipeline.description.latents
    unit = hu_to_unit(volume.hu, pipeline.description.grid.clip_hu)
    seen = torch.from_numpy(unit)[None, None].to(pipeline.device)
    window, overlap = described.window, described.overlap
    posterior = encode_windowed(pipeline.tokenizer, seen, window, overlap, precision=pipeline.precision)
    return described.image.normalize(posterior.mode())


@torch.inference_mode()
def reconstruct_volume(pipeline: MedSyn2Pipeline, volume: CTVolume) -> CTVolume:
    """Return a volume's reconstruction by the model's tokenizer, the bound on the model's own volumes."""
    described = pipeline.description.latents
    stored = described.image.denormalize(encode_volume(pipeline, volume))
    unit = decode_windowed(pipeline.tokenizer, stored, described.window, described.overlap, pipeline.precision)[0, 0]
    hu = unit_to_hu(unit.float().cpu().numpy(), pipeline.description.grid.clip_hu)
    return CTVolume(hu, volume.affine_mm)


@torch.inference_mode()
def flow_losses(
    pipeline: MedSyn2Pipeline, clean: Latents, recipe: Recipe, times: Sequence[float], t_clamp: float
) -> list[float]:
    """Return the loss of equation 4 at each time.

    Args:
        clean: Normalised latents of the volume, as `encode_volume` gives them.
        recipe: The conditions, guidance included, and the seed of the noise.
        times: Times in (0, 1].
        t_clamp: Smallest t in the weight 1/t^2.
    """
    predict_clean, _ = pipeline.predict_clean(replace(recipe, precision=pipeline.precision))
    generator = torch.Generator().manual_seed(recipe.seed)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    losses = []
    for time in times:
        t = torch.full((1,), time, device=clean.device)
        predicted = predict_clean(interpolate(clean, noise, t), t)
        losses.append(float(velocity_loss(predicted, clean, t, t_clamp)))
    return losses


def combinations(
    report: str | None, mask: Bool[np.ndarray, "d h w"] | None, words: str | None, seed: int
) -> Iterator[Recipe]:
    """Yield an unguided recipe for each combination of the given conditions: none, each, and both."""
    for with_report in (False, True) if report is not None else (False,):
        for with_mask in (False, True) if mask is not None else (False,):
            yield Recipe(
                report if with_report else None,
                mask if with_mask else None,
                words if with_mask else None,
                seed,
                UNGUIDED,
            )
