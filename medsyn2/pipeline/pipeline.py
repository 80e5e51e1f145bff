"""The trained model in use: from a report and a mask, each optional, to a CT.

A request becomes a recipe, which is everything that, with the model, decides a volume. `MedSyn2Pipeline.steps` follows
it a step at a time (``generation.py``): whoever iterates shows the progress or a preview, and stops by iterating no
further.

An *edit* (section 5.3, after SDEdit) takes a volume back towards its own noise and solves again under new
conditions: structures that they do not mention stay in place. An edit of a real CT (``ct_edit.py``) does so inside a
region and leaves the rest of the CT as it is.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, overload

import numpy as np
import torch
from safetensors.torch import save_file

from medsyn2.ct.edit_region import find_edit_region
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import ConfigError, WeightsError
from medsyn2.fingerprints import fingerprint
from medsyn2.flow.sampling import Sampling, to_float
from medsyn2.nn.device import available_device
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.pipeline.ct_edit import STRENGTH, Inside, edit_steps, order_edit, place_edit
from medsyn2.pipeline.edited import EditedCT, EditOrder, read_order
from medsyn2.pipeline.generation import Generation, Progress, Start, Step
from medsyn2.pipeline.inputs import check_inputs
from medsyn2.pipeline.synthetic import Recipe, Synthetic, read_sidecar
from medsyn2.vocabulary import PrecisionSetting
from medsyn2.weights.bundled import choose_model
from medsyn2.weights.model_folder import (
    DIT,
    PROMPTS,
    TEXT_ENCODER,
    TOKENIZER,
    hash_files,
    read_description,
    write_description,
)
from medsyn2.weights.model_template import read_reference, write_reference
from medsyn2.weights.networks import load_dit, load_prompts, load_tokenizer
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
        cls,
        folder: Path | str | None = None,
        *,
        device: torch.device | str = "auto",
        precision: PrecisionSetting = "auto",
    ) -> "MedSyn2Pipeline":
        """Load the model that a folder holds (``medsyn2.weights.model_folder``), every file checked by its sha256.

        Args:
            folder: The folder with ``model.json``; None takes the small model that ships with the package.
            device: Where the networks run: ``auto`` (the GPU where there is one), ``cpu``, ``cuda`` or ``cuda:1``.
            precision: Arithmetic of the networks, ``bf16`` or ``float32``; ``auto`` is bf16 on GPUs that have it. A
                volume that is made again has its recipe's.

        Raises:
            WeightsError: If a file is missing, damaged or of another layout.
            ConfigError: If the device is not there, or has not the precision.
        """
        folder = choose_model(None if folder is None else Path(folder))
        device = available_device(device)
        description = read_description(folder)
        if description.licence:
            log.info("licence of the weights in %s: %s", folder, description.licence)
        return cls(
            dit=load_dit(folder / DIT),
            tokenizer=load_tokenizer(folder / TOKENIZER),
            text_encoder=TextEncoder.from_folder(folder / TEXT_ENCODER),
            description=description,
            prompts=load_prompts(folder / PROMPTS) if PROMPTS in description.files else None,
            reference=read_reference(folder, description),
            device=device,
            precision=precision,
        )

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the folder that `from_pretrained` reads.

        A model whose components are as they were loaded keeps its fingerprint, so that the sidecars of its volumes
        stay valid; one with other components gets a new one, and so does one from a folder in float16, as this writes
        float32 (``medsyn2.weights.half`` writes float16).

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
        if self.reference is not None:
            write_reference(folder, self.reference.chest)
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
        return self.follow(recipe, progress)

    @overload
    def edit(
        self,
        before: CTVolume,
        report: str | None = ...,
        *,
        findings: str | None = ...,
        impression: str | None = ...,
        mask: LabelMap | None = ...,
        mask_text: str | None = ...,
        strength: float | None = ...,
        sampling: Sampling | None = ...,
        progress: Progress | None = ...,
        **inside: Unpack[Inside],
    ) -> EditedCT: ...

    @overload
    def edit(
        self,
        before: Synthetic | Path | str,
        report: str | None = ...,
        *,
        findings: str | None = ...,
        impression: str | None = ...,
        mask: LabelMap | None = ...,
        mask_text: str | None = ...,
        strength: float | None = ...,
        sampling: Sampling | None = ...,
        progress: Progress | None = ...,
    ) -> Synthetic: ...

    def edit(
        self,
        before: CTVolume | Synthetic | Path | str,
        report: str | None = None,
        *,
        findings: str | None = None,
        impression: str | None = None,
        mask: LabelMap | None = None,
        mask_text: str | None = None,
        strength: float | None = None,
        sampling: Sampling | None = None,
        progress: Progress | None = None,
        **inside: Unpack[Inside],
    ) -> EditedCT | Synthetic:
        """Change a real CT inside a region, or a generated volume with the noise it was made from.

        The parts of a report, the mask, its text and `progress` are those of a call. A real CT is registered to the
        model's grid, and outside the region it keeps every voxel; masks lie in its world.

        Args:
            before: A real CT in HU; or a volume made by this model; or its sidecar, by which it is made again first.
            report: A whole report, which alone counts; that of `before` does not.
            strength: 1 makes all anew, 0 changes nothing; None is 1 for a real CT and 0.75 for a generated volume.
            sampling: Solver and guidance; None is the model's. An edit takes the share `strength` of its steps.
            inside: Of a real CT, see `ct_edit.Inside`: ``region``, or ``margin_mm`` around ``mask`` and ``remove``;
                ``seed``, ``blend_mm``, ``resamplings``, ``align``.

        Raises:
            ReportError: If the report cannot be used.
            MaskError: If a mask or the region cannot be used, or a mask comes without words.
            RegistrationError: If a real CT cannot be registered.
            ConfigError: If `strength` is not between 0 and 1, or the sampling makes no sense.
            WeightsError: If `before` was made by another model, or this one has no template.
            IntegrityError: If the sidecar or a mask beside it is missing or damaged.
        """
        asked: dict[str, Any] = {
            "report": report,
            "findings": findings,
            "impression": impression,
            "mask_text": mask_text,
        }
        if isinstance(before, CTVolume):
            checked = _strength(STRENGTH if strength is None else strength)
            has_mask = mask is not None or inside.get("remove") is not None
            nothing = LabelMap(np.zeros(self.grid.shape, bool), self.grid.affine_mm) if has_mask else None
            how: dict[str, Any] = {"seed": inside.get("seed", 0), "sampling": sampling}
            self.recipe(**asked, mask=nothing, **how)  # a mistake costs no registration
            place, matrix = place_edit(self, before, mask, inside)
            recipe = self.recipe(**asked, mask=place.model_mask, **how)
            order = order_edit(self, before, place, matrix, replace(recipe, strength=checked), inside)
            return self._follow_order(before, order, place.model_region, progress)
        if inside:
            raise ConfigError(
                f"{', '.join(inside)} would have no effect on a generated volume.",
                code="option-without-effect",
                remedy="leave them out, or give a real CT as a CTVolume.",
            )
        latents = before.latents if isinstance(before, Synthetic) else None
        earlier, model = (before.recipe, before.model) if isinstance(before, Synthetic) else read_sidecar(Path(before))
        self._check_model(model, "the volume to edit")
        recipe = self.recipe(**asked, mask=mask, seed=earlier.seed, sampling=sampling)
        recipe = replace(recipe, strength=_strength(0.75 if strength is None else strength), before=earlier)
        return _follow(self.steps(recipe, None if latents is None else Start(latents)), progress)

    def remake_edit(self, sidecar: Path | str, ct: CTVolume, *, progress: Progress | None = None) -> EditedCT:
        """Edit a real CT again by the JSON that was written beside its edited copy.

        Raises:
            IntegrityError: If the sidecar or a mask beside it is missing or damaged, or the CT is another.
            WeightsError: If another model edited it.
        """
        order, model = read_order(Path(sidecar), ct)
        self._check_model(model, str(sidecar))
        place, _ = find_edit_region(
            ct.grid,
            self.grid,
            lambda: order.model_to_ct_lps_mm,
            mask=None if order.mask is None else LabelMap(order.mask, ct.affine_mm),
            remove=None,
            region=LabelMap(order.region, ct.affine_mm),
            margin_mm=None,
        )
        mask = None if place.model_mask is None else place.model_mask.binary()
        order = replace(order, recipe=replace(order.recipe, mask=mask))
        return self._follow_order(ct, order, place.model_region, progress)

    def _follow_order(
        self, ct: CTVolume, order: EditOrder, model_region: np.ndarray, progress: Progress | None
    ) -> EditedCT:
        edited = None
        for step, edited in edit_steps(self, ct, order, model_region):  # noqa: B007  # the last one counts
            if progress is not None:
                progress(step)
        assert edited is not None
        return edited

    def remake(self, sidecar: Path | str, *, progress: Progress | None = None) -> Synthetic:
        """Make a volume again from the JSON that was written beside it.

        Raises:
            IntegrityError: If the sidecar or a mask beside it is missing or damaged.
            WeightsError: If the volume was made by another model.
        """
        recipe, model = read_sidecar(Path(sidecar))
        self._check_model(model, str(sidecar))
        return self.follow(recipe, progress)

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

    def follow(self, recipe: Recipe, progress: Progress | None = None) -> Synthetic:
        """Make the volume of a recipe."""
        return _follow(self.steps(recipe), progress)

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


def _strength(value: float) -> float:
    strength = to_float(value, "strength")
    if not 0.0 <= strength <= 1.0:
        raise ConfigError(
            f"Expected a strength between 0 and 1, got {strength}.",
            code="edit-strength",
            remedy="0.75 keeps what the new conditions do not speak of; 1 keeps nothing.",
        )
    return strength
