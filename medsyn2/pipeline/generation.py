"""Following a recipe: conditions, solver and decoder, one step at a time.

    report, words  -> text encoder -> token embeddings --+
    mask           -> tokenizer    -> normalised latents -+-> transformer, solved from noise -> latents
    latents        -> tokenizer    -> values in [-1, 1]   -> HU on the model's grid

Without a mask its latents are zeros; without a report the text is the pre-prompt alone. The noise comes from
the CPU's generator, so that a seed means the same noise on every device.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medsyn2.ct.intensity import hu_to_unit, mask_to_unit, unit_to_hu
from medsyn2.ct.registration.reference import Reference
from medsyn2.ct.volume import CTVolume, Grid
from medsyn2.errors import WeightsError
from medsyn2.flow.guidance import PredictClean, guide
from medsyn2.flow.inpainting import inpaint_trajectory
from medsyn2.flow.solvers import State, edit_trajectory, trajectory
from medsyn2.nn.autoencoder.regions import latent_region
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import Parts, decode_windows, encode_chunked, encode_windowed, finish
from medsyn2.nn.device import available_device, move
from medsyn2.nn.precision import arithmetic, precision_on
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.nn.transformer.conditioning import Conditioning
from medsyn2.nn.transformer.dit import DiT
from medsyn2.pipeline.inputs import encode_given, far_from_expected
from medsyn2.pipeline.synthetic import Recipe, Synthetic
from medsyn2.reports.prompts import absent_prompt, mask_prompt
from medsyn2.vocabulary import Precision, PrecisionSetting, structure_of
from medsyn2.weights.model_folder import ModelDescription, TextDescription

log = logging.getLogger(__name__)

Latents = Float[Tensor, "1 z ld lh lw"]

ABSENT = "absent"
"""Name of the embedding of the pre-prompt that says there is no mask."""

Embedded = tuple[Float[Tensor, "1 m e"], tuple[str, ...]]
"""Token embeddings, and notes for the user."""


class Texts:
    """The texts of one model as token embeddings: the pre-prompt, which is always there, and the report.

    A model that was trained with padded texts (``TextDescription.padded``) gets the padding too, and attends to it as
    if it were words. A model may bring pre-prompts as embeddings of its own, by structure: of the authors' pre-prompts
    the embeddings are public and the wording is not.

    Args:
        prompts: Pre-prompts that it brings as embeddings, by structure or `ABSENT`; none for most models.
    """

    def __init__(
        self, encoder: TextEncoder, described: TextDescription, prompts: Mapping[str, Float[Tensor, "m e"]]
    ) -> None:
        self.encoder, self.described, self.prompts = encoder, described, prompts

    def prompt(self, words: str | None) -> Embedded:
        """Return the pre-prompt of a mask of `words`, or the one without a mask."""
        name = ABSENT if words is None else structure_of(words)
        if name is not None and name in self.prompts:
            return self.prompts[name][None].to(self._device), ()
        text = absent_prompt() if words is None else mask_prompt(words)
        return self._encode(text, self.described.max_prompt_tokens, f"the pre-prompt {text!r}")

    def report(self, report: str) -> Embedded:
        """Return the embeddings of a report."""
        return self._encode(report, self.described.max_report_tokens, "the report")

    def _encode(self, text: str, max_tokens: int, subject: str) -> Embedded:
        return encode_given(self.encoder, text, max_tokens, subject, padded=self.described.padded)

    @property
    def _device(self) -> torch.device:
        return next(self.encoder.parameters()).device


@dataclass(frozen=True)
class Step:
    """A step on the way to a volume."""

    phase: Literal["solve", "decode"]  # ``solve``, a step of the solver, or ``decode``, a part of the volume
    done: int  # Steps of this phase that are done
    total: int  # Steps of this phase
    clean: Latents  # The newest prediction of the normalised latents; `MedSyn2Pipeline.decode` shows it
    result: Synthetic | None = None  # The volume, in the last step; None before


Progress = Callable[[Step], None]


@dataclass(frozen=True, eq=False)  # latents are not compared by ==
class Start:
    """Known latents that a volume is made from by an edit."""

    latents: Latents  # Normalised latents of the volume to change
    region: Bool[Tensor, "ld lh lw"] | None = None  # Where they change; None everywhere
    resamplings: int = 1  # Solutions of each step, see `flow.inpainting`


class Generation:
    """The networks of one model, and how they follow a recipe.

    The components are attributes and can be exchanged for others that fit.

    Args:
        description: Grid, statistics of the latents, lengths of texts, how it is sampled by default.
        prompts: Pre-prompts that the model brings as embeddings (`Texts`); none for most models.
        reference: The template that real CTs are registered to; None for models that know none.
        device: Where the networks run; ``auto`` is the GPU where there is one.
        precision: Arithmetic of the networks; ``auto`` is bfloat16 on GPUs that have it, float32 elsewhere.

    Raises:
        WeightsError: If the components do not fit together.
        ConfigError: If the device is not there, or has not the precision.
    """

    def __init__(
        self,
        *,
        dit: DiT,
        tokenizer: CausalVideoVAE,
        text_encoder: TextEncoder,
        description: ModelDescription,
        prompts: Mapping[str, Float[Tensor, "m e"]] | None = None,
        reference: Reference | None = None,
        device: torch.device | str = "auto",
        precision: PrecisionSetting = "auto",
    ) -> None:
        self.device = available_device(device)
        self.precision = precision_on(self.device, precision)
        self.dit = dit.eval().requires_grad_(False).to(self.device)
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        move(self.tokenizer, self.device)
        self.text_encoder = text_encoder.to(self.device)
        self.description, self.reference = description, reference
        self.texts = Texts(self.text_encoder, description.text, prompts or {})
        self._check_fit()

    @property
    def grid(self) -> Grid:
        """The shape of every generated volume, and its place in space."""
        return Grid(self.description.grid.shape, np.array(self.description.grid.affine_mm))

    @torch.inference_mode()
    def steps(self, recipe: Recipe, start: Start | None = None) -> Iterator[Step]:
        """Follow a recipe and yield each step; the last one holds the volume.

        Args:
            start: The latents that an edit changes; None makes them from ``recipe.before``, or starts from noise.
        """
        recipe, latents = yield from self._solve(recipe, start)
        parts = self._decode_parts(latents, recipe.precision)
        done = total = 0
        while True:
            try:
                done, total = next(parts)
                yield Step("decode", done, total, latents)
            except StopIteration as end:
                volume = self._volume(end.value)
                break
        made = Synthetic(volume, recipe, self.description.fingerprint, latents.cpu())
        yield Step("decode", done, total, latents, made)

    @torch.inference_mode()
    def decode(self, latents: Latents) -> CTVolume:
        """Decode normalised latents, such as those of a `Step`, in windows."""
        return self._volume(finish(self._decode_parts(latents, self.precision)))

    @torch.inference_mode()
    def encode(self, ct: CTVolume, precision: Precision | None = None) -> Latents:
        """Return the normalised latents of a CT on the model's grid, in HU.

        Args:
            precision: Arithmetic; None is the pipeline's.
        """
        unit = torch.from_numpy(hu_to_unit(ct.hu, self.description.grid.clip_hu))[None, None].to(self.device)
        latents = self.description.latents
        used = self.precision if precision is None else precision
        posterior = encode_windowed(self.tokenizer, unit, latents.window, latents.overlap, precision=used)
        return latents.image.normalize(posterior.mode())

    def latent_region(self, inside: np.ndarray) -> Bool[Tensor, "ld lh lw"]:
        """Return the latents that a region of the model's grid reaches into."""
        return latent_region(self.tokenizer, torch.from_numpy(inside))

    def _solve(self, recipe: Recipe, start: Start | None) -> Generator[Step, None, tuple[Recipe, Latents]]:
        """Yield the steps of the solver; return the recipe, with notes about its texts, and the latents."""
        predict_clean, text_notes = self.predict_clean(recipe)
        recipe = replace(recipe, notes=tuple(dict.fromkeys((*recipe.notes, *text_notes))))
        for note in recipe.notes:
            log.warning("%s", note)
        if recipe.before is not None and start is None:
            _, before = yield from self._solve(recipe.before, None)
            start = Start(before)
        for state in self._states(predict_clean, recipe, start):
            yield Step("solve", state.step, state.num_steps, state.clean)
        return recipe, state.clean

    def _states(self, predict_clean: PredictClean, recipe: Recipe, start: Start | None) -> Iterator[State]:
        generator = torch.Generator().manual_seed(recipe.seed)

        def draw_noise() -> Latents:
            return torch.randn(1, *self.description.latents.shape, generator=generator).to(self.device)

        if start is None or recipe.strength is None:
            return trajectory(predict_clean, draw_noise(), recipe.sampling)
        clean, strength = start.latents.to(self.device), recipe.strength
        if start.region is None:
            return edit_trajectory(predict_clean, clean, draw_noise(), recipe.sampling, strength=strength)
        region, times = start.region.to(self.device), start.resamplings
        return inpaint_trajectory(
            predict_clean, clean, draw_noise, region, recipe.sampling, strength=strength, resamplings=times
        )

    def predict_clean(self, recipe: Recipe) -> tuple[PredictClean, tuple[str, ...]]:
        """Bind the network to a recipe's conditions, guided; return it and the notes about them."""
        absent, _ = self.texts.prompt(None)
        words, notes = self.texts.prompt(recipe.words)
        no_mask = torch.zeros(1, *self.description.latents.shape, device=self.device)

        def network(*inputs: Tensor | None) -> Latents:
            with arithmetic(recipe.precision, self.device):
                return self.dit(*inputs)

        neither = mask_only = Conditioning(no_mask, absent).bind(network)
        mask_latents = no_mask
        if recipe.mask is not None and recipe.words is not None:
            mask_latents = self._encode(recipe.mask, recipe.words, recipe.precision)
            mask_only = Conditioning(mask_latents, words).bind(network)
            notes = (*notes, *far_from_expected(mask_latents, recipe.words))
        conditional = mask_only
        if recipe.report is not None:
            report, more = self.texts.report(recipe.report)
            conditional = Conditioning(mask_latents, torch.cat((words, report), dim=1)).bind(network)
            notes = (*notes, *more)
        guided = guide(
            conditional,
            mask_only,
            neither,
            report_scale=recipe.sampling.guidance_report,
            mask_scale=recipe.sampling.guidance_mask,
        )
        return guided, notes

    def _encode(self, mask: np.ndarray, words: str, precision: Precision) -> Latents:
        latents = self.description.latents
        seen = torch.from_numpy(mask_to_unit(mask))[None, None].to(self.device)
        if latents.mask_chunk is None:
            window, overlap = latents.window, latents.overlap
            posterior = encode_windowed(self.tokenizer, seen, window, overlap, precision=precision)
        else:
            posterior = encode_chunked(self.tokenizer, seen, latents.mask_chunk, precision)
        structure = structure_of(words)
        statistics = latents.mask if structure is None else latents.masks.get(structure, latents.mask)
        return statistics.normalize(posterior.mode())

    def _decode_parts(self, latents: Latents, precision: Precision) -> Parts:
        described = self.description.latents
        stored = described.image.denormalize(latents)
        return decode_windows(self.tokenizer, stored, described.window, described.overlap, precision)

    def _volume(self, unit: Float[Tensor, "1 1 d h w"]) -> CTVolume:
        hu = unit_to_hu(unit[0, 0].float().cpu().numpy(), self.description.grid.clip_hu)
        return CTVolume(hu, self.grid.affine_mm, is_synthetic=True)

    def _check_fit(self) -> None:
        latents, text = self.description.latents, self.description.text
        encoded = (self.tokenizer.latent_channels, *self.tokenizer.latent_shape(self.grid.shape))
        if encoded != tuple(latents.shape) or self.text_encoder.width != text.width:
            raise WeightsError(
                f"the model is described with latents of {latents.shape} and text of width {text.width}, but its "
                f"tokenizer makes {encoded} and its text encoder {self.text_encoder.width}.",
                code="model-inconsistent",
                remedy="copy the whole model folder again; its parts belong together.",
            )
