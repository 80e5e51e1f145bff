"""The trained model in use: from a report and a mask, each optional, to a CT.

    report, words  -> text encoder -> token embeddings --+
    mask           -> tokenizer    -> normalised latents -+-> transformer, solved from noise -> latents
    latents        -> tokenizer    -> values in [-1, 1]   -> HU on the model's grid

Without a mask its latents are zeros; without a report the text is the pre-prompt alone. The noise comes from
the CPU's generator, so that a seed means the same noise on every device.

An *edit* (section 5.3, after SDEdit) takes a volume back towards its own noise and solves again under new
conditions: what they do not speak of stays in place.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from medsyn2.ct.intensity import unit_to_hu
from medsyn2.ct.volume import CTVolume, Grid, LabelMap
from medsyn2.errors import ConfigError, WeightsError
from medsyn2.flow.guidance import PredictClean, guide
from medsyn2.flow.solvers import Progress, Solver, edit, solve
from medsyn2.nn.autoencoder.streaming import check_causal, decode_streamed, pool_statistics
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_windowed, encode_chunked, encode_windowed
from medsyn2.nn.device import available_device
from medsyn2.nn.memory_format import move
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.nn.transformer.conditioning import Conditioning
from medsyn2.nn.transformer.dit import DiT
from medsyn2.pipeline.inputs import Prompt, check_inputs, far_from_expected, normal, raw
from medsyn2.pipeline.synthetic import Decoding, Recipe, Sampling, Synthetic, read_sidecar
from medsyn2.pipeline.texts import Texts, structure_of
from medsyn2.weights.model_folder import (
    DIT,
    PROMPTS,
    TEXT_ENCODER,
    TOKENIZER,
    ModelDescription,
    read_description,
)
from medsyn2.weights.tensors import load_component, load_strictly

log = logging.getLogger(__name__)

BACKGROUND, FOREGROUND = -0.5, 0.5
"""What masks look like to the tokenizer."""


class MedSyn2Pipeline:
    """Generates chest CTs from a report, or a mask with words, or both, or neither.

    The components are attributes and can be exchanged for others that fit.

    Args:
        dit: The diffusion transformer.
        tokenizer: The tokenizer of volumes and masks.
        text_encoder: The text encoder of reports and pre-prompts.
        description: Grid, statistics of the latents, lengths of texts, how it is sampled by default.
        prompts: Pre-prompts that the model brings as embeddings (``texts.py``); none for most models.
        device: Where the networks run.

    Raises:
        WeightsError: If the components do not fit together.
        ConfigError: If the device is not there.
    """

    def __init__(
        self,
        *,
        dit: DiT,
        tokenizer: CausalVideoVAE,
        text_encoder: TextEncoder,
        description: ModelDescription,
        prompts: Mapping[str, Float[Tensor, "m e"]] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = available_device(device)
        self.dit = dit.eval().requires_grad_(False).to(self.device)
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        move(self.tokenizer, self.device)
        self.text_encoder = text_encoder.to(self.device)
        self.description = description
        self.texts = Texts(self.text_encoder, description.text, prompts or {})
        self._check_fit()

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, device: torch.device | str = "cpu") -> "MedSyn2Pipeline":
        """Load the model that a folder holds (``medsyn2.weights.model_folder``), every file checked by its sha256.

        Raises:
            WeightsError: If a file is missing, damaged or of another layout.
            ConfigError: If the device is not there.
        """
        folder, device = Path(folder), available_device(device)
        description = read_description(folder)
        if description.licence:
            log.info("licence of the weights in %s: %s", folder, description.licence)
        dit_config, dit_state = load_component(folder / DIT, "dit")
        tokenizer_config, tokenizer_state = load_component(folder / TOKENIZER, "tokenizer")
        dit = DiT(**{**dit_config, "patch": tuple(dit_config["patch"])})
        tokenizer = CausalVideoVAE(**tokenizer_config)
        load_strictly(dit, dit_state, source=folder / DIT)
        load_strictly(tokenizer, tokenizer_state, source=folder / TOKENIZER)
        return cls(
            dit=dit,
            tokenizer=tokenizer,
            text_encoder=TextEncoder.from_folder(folder / TEXT_ENCODER),
            description=description,
            prompts=load_file(folder / PROMPTS) if PROMPTS in description.files else None,
            device=device,
        )

    @property
    def grid(self) -> Grid:
        """Where the voxels of every generated volume are."""
        return Grid(self.description.grid.shape, np.array(self.description.grid.affine_mm))

    def __call__(
        self,
        report: str | None = None,
        *,
        findings: str | None = None,
        impression: str | None = None,
        mask: LabelMap | None = None,
        mask_text: str | None = None,
        seed: int,
        solver: Solver | None = None,
        num_steps: int | None = None,
        t_end: float | None = None,
        guidance_report: float = Sampling.guidance_report,
        guidance_mask: float = Sampling.guidance_mask,
        decode: Decoding = Sampling.decode,
        progress: Progress | None = None,
    ) -> Synthetic:
        """Generate a volume; the same inputs, seed, model and number of threads give the same voxels.

        Args:
            report: A whole report; None for none.
            findings: The report's first part, if it is given in parts.
            impression: The report's second part, if it is given in parts.
            mask: Where a structure is, on any grid; None for no mask.
            mask_text: What the mask is of, such as "lung nodules"; needed with a mask.
            seed: Of the noise.
            solver: Solver of the flow; the paper's is ``dopri5``, which takes six times as long a step. None is
                what the model is described with: ``unipc`` for models trained here.
            num_steps: Steps of the solver; 50 in the paper. None is what the model is described with.
            t_end: Where the solver stops and takes the prediction. None is what the model is described with.
            guidance_report: 1 follows the report as trained, more exaggerates it, 0 ignores it.
            guidance_mask: The same for the mask.
            decode: ``windows`` decodes as the latents were encoded; ``stream``, experimental, in full planes from
                the first slice to the last, without seams (``medsyn2.nn.autoencoder.streaming``).
            progress: Called after each step with the steps done and their number.

        Raises:
            ReportError: If the report cannot be used.
            MaskError: If the mask cannot be used, or comes without words.
            ConfigError: If the sampling makes no sense.
        """
        prompt = self._prompt(report, findings, impression, mask, mask_text)
        sampling = self._sampling(solver, num_steps, t_end, guidance_report, guidance_mask, decode)
        recipe = Recipe(prompt.report, prompt.mask, prompt.words, seed, sampling, notes=prompt.notes)
        return self._make(recipe, None, progress)

    def edit(
        self,
        before: Synthetic | Path | str,
        report: str | None = None,
        *,
        findings: str | None = None,
        impression: str | None = None,
        mask: LabelMap | None = None,
        mask_text: str | None = None,
        strength: float = 0.75,
        solver: Solver | None = None,
        num_steps: int | None = None,
        t_end: float | None = None,
        guidance_report: float = Sampling.guidance_report,
        guidance_mask: float = Sampling.guidance_mask,
        decode: Decoding = Sampling.decode,
        progress: Progress | None = None,
    ) -> Synthetic:
        """Change a generated volume under new conditions, with the noise it was made from.

        Args:
            before: The volume to change, made by this model; or its sidecar, by which it is made again first.
            report: As for generating; the conditions of `before` count no more.
            findings: As for generating.
            impression: As for generating.
            mask: As for generating.
            mask_text: As for generating.
            strength: 1 makes a new volume from the same noise, 0 changes nothing.
            solver: As for generating.
            num_steps: Steps of a whole solution; an edit takes the share `strength` of them.
            t_end: As for generating.
            guidance_report: As for generating.
            guidance_mask: As for generating.
            decode: As for generating.
            progress: As for generating.

        Raises:
            ReportError: As for generating.
            MaskError: As for generating.
            ConfigError: If `strength` is not between 0 and 1, or the sampling makes no sense.
            WeightsError: If `before` was made by another model.
            IntegrityError: If the sidecar or a mask beside it is missing or damaged.
        """
        if not 0.0 <= strength <= 1.0:
            raise ConfigError(
                f"Expected a strength between 0 and 1, got {strength}.",
                code="edit-strength",
                remedy="0.75 keeps what the new conditions do not speak of; 1 keeps nothing.",
            )
        latents = None
        if isinstance(before, Synthetic):
            earlier, model, latents = before.recipe, before.model, before.latents
        else:
            earlier, model = read_sidecar(Path(before))
        self._check_model(model, "the volume to edit")
        prompt = self._prompt(report, findings, impression, mask, mask_text)
        recipe = Recipe(
            prompt.report,
            prompt.mask,
            prompt.words,
            earlier.seed,
            self._sampling(solver, num_steps, t_end, guidance_report, guidance_mask, decode),
            strength,
            earlier,
            prompt.notes,
        )
        return self._make(recipe, latents, progress)

    def remake(self, sidecar: Path | str, *, progress: Progress | None = None) -> Synthetic:
        """Make a volume again from the JSON that was written beside it.

        Raises:
            IntegrityError: If the sidecar or a mask beside it is missing or damaged.
            WeightsError: If the volume was made by another model.
        """
        recipe, model = read_sidecar(Path(sidecar))
        self._check_model(model, str(sidecar))
        return self._make(recipe, None, progress)

    def _sampling(
        self,
        solver: Solver | None,
        num_steps: int | None,
        t_end: float | None,
        guidance_report: float,
        guidance_mask: float,
        decode: Decoding,
    ) -> Sampling:
        if decode == "stream":
            check_causal(self.tokenizer)
        described = self.description.sampling
        return Sampling(
            described.solver if solver is None else solver,  # type: ignore[arg-type]  # Sampling checks it
            described.num_steps if num_steps is None else num_steps,
            described.t_end if t_end is None else t_end,
            guidance_report,
            guidance_mask,
            decode,
        )

    def _prompt(
        self,
        report: str | None,
        findings: str | None,
        impression: str | None,
        mask: LabelMap | None,
        mask_text: str | None,
    ) -> Prompt:
        return check_inputs(
            report=report,
            findings=findings,
            impression=impression,
            mask=mask,
            mask_text=mask_text,
            grid=self.grid,
            trained={name for name, count in self.description.training.structures.items() if count != 0},
            separator=self.text_encoder.separator,
        )

    @torch.inference_mode()
    def _make(
        self,
        recipe: Recipe,
        before: Float[Tensor, "1 z ld lh lw"] | None,
        progress: Progress | None,
    ) -> Synthetic:
        """Follow a recipe; what it goes back to is made again unless its latents are given as `before`."""
        predict_clean, text_notes = self.predict_clean(recipe)
        recipe = replace(recipe, notes=tuple(dict.fromkeys((*recipe.notes, *text_notes))))
        for note in recipe.notes:
            log.warning("%s", note)
        if recipe.before is not None and before is None:
            before = self._make(recipe.before, None, progress).latents
        generator = torch.Generator().manual_seed(recipe.seed)
        noise = torch.randn(1, *self.description.latents.shape, generator=generator).to(self.device)
        how = recipe.sampling
        solver, num_steps, t_end = how.solver, how.num_steps, how.t_end
        if before is None or recipe.strength is None:
            latents = solve(
                predict_clean, noise, solver=solver, num_steps=num_steps, t_end=t_end, progress=progress
            )
        else:
            latents = edit(
                predict_clean,
                before.to(self.device),
                noise,
                strength=recipe.strength,
                solver=solver,
                num_steps=num_steps,
                t_end=t_end,
                progress=progress,
            )
        return Synthetic(
            self._decoded(latents, how.decode), recipe, self.description.fingerprint, latents.cpu()
        )

    def predict_clean(self, recipe: Recipe) -> tuple[PredictClean, tuple[str, ...]]:
        """Bind the network to a recipe's conditions, guided; return it and what is to be noted about them."""
        absent, _ = self.texts.prompt(None)
        words, notes = self.texts.prompt(recipe.words)
        no_mask = torch.zeros(1, *self.description.latents.shape, device=self.device)
        neither = mask_only = Conditioning(no_mask, absent).bind(self.dit)
        mask_latents = no_mask
        if recipe.mask is not None and recipe.words is not None:
            mask_latents = self._encoded(recipe.mask, recipe.words)
            mask_only = Conditioning(mask_latents, words).bind(self.dit)
            notes = (*notes, *far_from_expected(mask_latents, recipe.words))
        conditional = mask_only
        if recipe.report is not None:
            report, more = self.texts.report(recipe.report)
            conditional = Conditioning(mask_latents, torch.cat((words, report), dim=1)).bind(self.dit)
            notes = (*notes, *more)
        guided = guide(
            conditional,
            mask_only,
            neither,
            report_scale=recipe.sampling.guidance_report,
            mask_scale=recipe.sampling.guidance_mask,
        )
        return guided, notes

    def _encoded(self, mask: np.ndarray, words: str) -> Float[Tensor, "1 z ld lh lw"]:
        latents = self.description.latents
        values = np.where(mask, np.float32(FOREGROUND), np.float32(BACKGROUND))
        seen = torch.from_numpy(values)[None, None].to(self.device)
        if latents.mask_chunk is None:
            posterior = encode_windowed(self.tokenizer, seen, latents.window, latents.overlap)
        else:
            posterior = encode_chunked(self.tokenizer, seen, latents.mask_chunk)
        structure = structure_of(words)
        statistics = latents.mask if structure is None else latents.masks.get(structure, latents.mask)
        return normal(posterior.mode(), statistics.mean, statistics.std)

    def _decoded(self, latents: Float[Tensor, "1 z ld lh lw"], how: Decoding) -> CTVolume:
        described = self.description.latents
        stored = raw(latents, described.image.mean, described.image.std)
        if how == "stream":
            statistics = pool_statistics(self.tokenizer, stored, described.window)
            unit = decode_streamed(self.tokenizer, stored, statistics)
        else:
            unit = decode_windowed(self.tokenizer, stored, described.window, described.overlap)
        hu = unit_to_hu(unit[0, 0].float().cpu().numpy(), self.description.grid.clip_hu)
        return CTVolume(hu, self.grid.affine_mm)

    def _check_model(self, fingerprint: str, what: str) -> None:
        if fingerprint != self.description.fingerprint:
            raise WeightsError(
                f"{what} was made by the model {fingerprint[:12]}, and this is {self.description.fingerprint[:12]}.",
                code="model-another",
                remedy="load the model that made it.",
            )

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
