"""The trained model in use: from a report and a mask, each optional, to a CT.

A request becomes a recipe, which is everything that, with the model, decides a volume. `MedSyn2Pipeline.steps` follows
it a step at a time (``generation.py``): whoever iterates shows the progress or a preview, and stops by iterating no
further.

An *edit* (section 5.3, after SDEdit) takes a volume back towards its own noise and solves again under new
conditions: structures that they do not mention stay in place.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from medsyn2.ct.volume import LabelMap
from medsyn2.errors import ConfigError, WeightsError
from medsyn2.fingerprints import fingerprint
from medsyn2.flow.sampling import Sampling, to_float
from medsyn2.nn.device import available_device
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.pipeline.generation import Generation, Progress, Step
from medsyn2.pipeline.inputs import check_inputs
from medsyn2.pipeline.synthetic import Recipe, Synthetic, read_sidecar
from medsyn2.vocabulary import PrecisionSetting
from medsyn2.weights.model_folder import (
    DIT,
    PROMPTS,
    TEXT_ENCODER,
    TOKENIZER,
    hash_files,
    read_description,
    write_description,
)
from medsyn2.weights.networks import load_dit, load_tokenizer
from medsyn2.weights.tensors import save_component

log = logging.getLogger(__name__)


class MedSyn2Pipeline(Generation):
    """Generates chest CTs from a report, or a mask with words, or both, or neither.

        pipeline = MedSyn2Pipeline.from_pretrained("results/train_dit/model")
        made = pipeline("Large left pleural effusion.", seed=1)
        made.save("effusion.nii.gz")

    `from_pretrained` loads a model; `Generation` lists its parts.
    """

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, device: torch.device | str = "auto", precision: PrecisionSetting = "auto"
    ) -> "MedSyn2Pipeline":
        """Load the model that a folder holds (``medsyn2.weights.model_folder``), every file checked by its sha256.

        Args:
            folder: The folder with ``model.json``.
            device: Where the networks run: ``auto`` (the GPU where there is one), ``cpu``, ``cuda`` or ``cuda:1``.
            precision: Arithmetic of the networks, ``bf16`` or ``float32``; ``auto`` is bf16 on GPUs that have it. A
                volume that is made again has its recipe's.

        Raises:
            WeightsError: If a file is missing, damaged or of another layout.
            ConfigError: If the device is not there, or has not the precision.
        """
        folder, device = Path(folder), available_device(device)
        description = read_description(folder)
        if description.licence:
            log.info("licence of the weights in %s: %s", folder, description.licence)
        return cls(
            dit=load_dit(folder / DIT),
            tokenizer=load_tokenizer(folder / TOKENIZER),
            text_encoder=TextEncoder.from_folder(folder / TEXT_ENCODER),
            description=description,
            prompts=load_file(folder / PROMPTS) if PROMPTS in description.files else None,
            device=device,
            precision=precision,
        )

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the folder that `from_pretrained` reads.

        A model whose components are as they were loaded keeps its fingerprint, so that the sidecars of its volumes
        stay valid; one with other components gets a new one.

        Args:
            folder: An empty folder, or one that is made.

        Raises:
            ConfigError: If there is something in the folder.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(
                f"{folder} is not empty.", code="output-taken", remedy="give a folder that does not exist yet."
            )
        folder.mkdir(parents=True, exist_ok=True)
        save_component(folder / DIT, self.dit, kind="dit", config=self.dit.config)
        save_component(folder / TOKENIZER, self.tokenizer, kind="tokenizer", config=self.tokenizer.config)
        self.text_encoder.save(folder / TEXT_ENCODER)
        if prompts := {name: tensor.cpu().contiguous() for name, tensor in self.texts.prompts.items()}:
            save_file(prompts, folder / PROMPTS)
        files, own = hash_files(folder), self.description
        known = own.fingerprint if files == own.files else fingerprint(own.fingerprint, files)
        write_description(folder, replace(own, files=files, fingerprint=known))

    @property
    def sampling(self) -> Sampling:
        """How the model is sampled where nothing else is asked for: as the run that trained it samples."""
        return self.description.sampling

    def __call__(
        self,
        report: str | None = None,
        *,
        findings: str | None = None,
        impression: str | None = None,
        mask: LabelMap | None = None,
        mask_text: str | None = None,
        seed: int = 0,
        sampling: Sampling | None = None,
        progress: Progress | None = None,
    ) -> Synthetic:
        """Generate a volume; the same inputs, seed, model, precision and number of threads give the same voxels.

        Args:
            report: A whole report; None for none.
            findings: The report's first part, if it is given in parts.
            impression: The report's second part, if it is given in parts.
            mask: Where a structure is, on any grid; None for no mask.
            mask_text: Structure that the mask shows, such as "lung nodules"; needed with a mask.
            seed: Of the noise, from 0 to 2^63 - 1. Another number gives another volume.
            sampling: Solver and guidance; None is the model's (`sampling`), and
                ``dataclasses.replace(pipeline.sampling, num_steps=50)`` changes a part of it.
            progress: Called after each step.

        Raises:
            ReportError: If the report cannot be used.
            MaskError: If the mask cannot be used, or comes without words.
            ConfigError: If the seed or the sampling makes no sense.
        """
        recipe = self.recipe(
            report,
            findings=findings,
            impression=impression,
            mask=mask,
            mask_text=mask_text,
            seed=seed,
            sampling=sampling,
        )
        return _follow(self.steps(recipe), progress)

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
        sampling: Sampling | None = None,
        progress: Progress | None = None,
    ) -> Synthetic:
        """Change a generated volume under new conditions, with the noise it was made from.

        The parts of a report, the mask, its text and `progress` are those of a call.

        Args:
            before: The volume to change, made by this model; or its sidecar, by which it is made again first.
            report: A whole report, which alone counts; that of `before` does not.
            strength: 1 makes a new volume from the same noise, 0 changes nothing.
            sampling: Solver and guidance; None is the model's. An edit takes the share `strength` of its steps.

        Raises:
            ReportError: If the report cannot be used.
            MaskError: If the mask cannot be used, or comes without words.
            ConfigError: If `strength` is not between 0 and 1, or the sampling makes no sense.
            WeightsError: If `before` was made by another model.
            IntegrityError: If the sidecar or a mask beside it is missing or damaged.
        """
        latents = before.latents if isinstance(before, Synthetic) else None
        earlier, model = (before.recipe, before.model) if isinstance(before, Synthetic) else read_sidecar(Path(before))
        self._check_model(model, "the volume to edit")
        recipe = self.recipe(
            report,
            findings=findings,
            impression=impression,
            mask=mask,
            mask_text=mask_text,
            seed=earlier.seed,
            sampling=sampling,
        )
        strength = to_float(strength, "strength")
        if not 0.0 <= strength <= 1.0:
            raise ConfigError(
                f"Expected a strength between 0 and 1, got {strength}.",
                code="edit-strength",
                remedy="0.75 keeps what the new conditions do not speak of; 1 keeps nothing.",
            )
        return _follow(self.steps(replace(recipe, strength=strength, before=earlier), latents), progress)

    def remake(self, sidecar: Path | str, *, progress: Progress | None = None) -> Synthetic:
        """Make a volume again from the JSON that was written beside it.

        Raises:
            IntegrityError: If the sidecar or a mask beside it is missing or damaged.
            WeightsError: If the volume was made by another model.
        """
        recipe, model = read_sidecar(Path(sidecar))
        self._check_model(model, str(sidecar))
        return _follow(self.steps(recipe), progress)

    def recipe(
        self,
        report: str | None = None,
        *,
        findings: str | None = None,
        impression: str | None = None,
        mask: LabelMap | None = None,
        mask_text: str | None = None,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Recipe:
        """Check a request, as `__call__` takes it and with its errors, and return the recipe; nothing is computed.

        An edit is the recipe with ``before``, the earlier volume's recipe, and a ``strength``.
        """
        sampling = self.sampling if sampling is None else sampling
        if not isinstance(sampling, Sampling):
            raise ConfigError(
                f"sampling: expected a Sampling, got {type(sampling).__name__}.",
                code="sampling-invalid",
                remedy="give dataclasses.replace(pipeline.sampling, num_steps=50), for example.",
            )
        prompt = check_inputs(
            report=report,
            findings=findings,
            impression=impression,
            mask=mask,
            mask_text=mask_text,
            grid=self.grid,
            trained={name for name, count in self.description.training.structures.items() if count != 0},
            separator=self.text_encoder.separator,
        )
        return Recipe(
            prompt.report, prompt.mask, prompt.words, seed, sampling, precision=self.precision, notes=prompt.notes
        )

    def _check_model(self, fingerprint: str, subject: str) -> None:
        if fingerprint != self.description.fingerprint:
            raise WeightsError(
                f"{subject} was made by the model {fingerprint[:12]}, and this is {self.description.fingerprint[:12]}.",
                code="model-another",
                remedy="load the model that made it.",
            )


def _follow(steps: Iterator[Step], progress: Progress | None) -> Synthetic:
    for step in steps:
        if progress is not None:
            progress(step)
    assert step.result is not None
    return step.result
