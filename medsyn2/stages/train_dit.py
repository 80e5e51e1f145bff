"""The stage ``train_dit``: the diffusion transformer, and the folder that holds the whole model."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medsyn2.config import DiTConfig, FlowConfig, GridConfig, RegisterConfig, TrainDiTConfig, schedule_notes
from medsyn2.ct.registration.affine import working_template
from medsyn2.errors import ConfigError
from medsyn2.files import sha256_of, write_atomically
from medsyn2.fingerprints import canonical_json, fingerprint
from medsyn2.flow import Sampling
from medsyn2.integrity import load_sealed
from medsyn2.nn.transformer.dit import DiT
from medsyn2.stages.encode_text import encoder_identity
from medsyn2.stages.template import Template, read_template
from medsyn2.store.text_embeddings import read_prompts
from medsyn2.training.dit.conditions import ConditionedLatents, drop_conditions, mode_probabilities
from medsyn2.training.dit.objective import TIME_BINS, DiTBatch, DiTObjective
from medsyn2.training.dit.split import Split, load_split
from medsyn2.training.engine.fabric import is_first_process, refuse_on_cpu
from medsyn2.training.engine.identity import claim_checkpoints, identity_of
from medsyn2.training.engine.learner import Learner, LoopSettings, MicroLoss
from medsyn2.training.engine.loop import LOSSES, train
from medsyn2.training.engine.optimizer import AdamSettings
from medsyn2.weights.model_card import write_card
from medsyn2.weights.model_folder import (
    DIT,
    GridDescription,
    LatentDescription,
    ModelDescription,
    TextDescription,
    TrainingDescription,
    affine_rows,
    export_model,
)
from medsyn2.weights.model_template import write_reference
from medsyn2.weights.tensors import save_component

log = logging.getLogger(__name__)

KIND = "dit"
NOTE = (
    "Volumes made with this model are synthetic and not for clinical use. Its weights come from the training "
    "cases; the terms under which those were given hold for the weights and for what they make."
)


def train_dit(
    grid: GridConfig,
    register: RegisterConfig,
    dit: DiTConfig,
    flow: FlowConfig,
    train_dit: TrainDiTConfig,
    sampling: Sampling,
    *,
    latents: list[Path],
    text: list[Path],
    prompts: Path,
    tokenizer: Path,
    encoder: Path,
    template: Path,
    model: Path,
    loss: Path,
    settings: str,
) -> None:
    """Train the diffusion transformer on the training split, and put the whole model into one folder.

    Checkpoints go into the folder ``checkpoints`` beside the model's, those of each identity into a folder of its own
    (``medsyn2/training/engine/identity.py``). A training that was interrupted goes on from the last one and ends with
    the same bits; one whose settings and inputs are those of an earlier run is not made again; a longer one goes on
    from where the shorter one ended. The sampling decides nothing of the training, nor does the template, which the
    folder holds at the registration's working spacing, for the real CTs that are edited: if these alone changed, the
    description is written anew and the weights stay. Several processes, started by torchrun, share the micro-batches of
    a step.
    """
    refuse_on_cpu(train_dit.precision)
    settings = _training_settings(settings)
    split, (wording, embedded) = load_split(latents, text), read_prompts(prompts)
    split = replace(split, cases=[drop_conditions(case, train_dit.leave_out) for case in split.cases])
    _check_origins(split, wording, tokenizer, encoder)
    _check_patch(split.latents.shape, dit)
    described = _latents(split, train_dit)
    data = ConditionedLatents(
        split.cases,
        embedded,
        image=described.image,
        mask=described.mask,
        masks=described.masks,
        probabilities=train_dit.mode_probabilities,
        weights=train_dit.structure_weights,
        empty_share=train_dit.empty_mask_share,
        loss_share=train_dit.mask_loss_share,
        digests=split.digests,
        seed=train_dit.seed,
    )
    realised = mode_probabilities(split.cases, train_dit.mode_probabilities)
    for note in schedule_notes("train_dit", train_dit):
        log.warning("%s", note)
    log.info("dit: %d cases; modes, after what cases lack: %s", len(split.cases), realised)
    identity = identity_of(settings, "train_dit", split.made_from, wording)
    config = {"latent_channels": split.latents.shape[0], "text_width": wording["width"], **dit.model_dump()}
    torch.manual_seed(train_dit.seed)
    network = DiT(**config)
    network.checkpointing = train_dit.checkpointing
    if train_dit.compile:
        network.compile()
    root = model.parent.with_name("checkpoints")
    with claim_checkpoints(root, identity, train_dit.num_steps) as folder:
        learners = {KIND: _learner(network, flow, train_dit)}
        averages = train(learners, data, LoopSettings.of(train_dit), folder=folder, identity=identity.sha256)
        if is_first_process():
            write_atomically(loss, lambda partial: shutil.copyfile(folder / LOSSES, partial))
            save_component(model.parent / DIT, averages[KIND], kind=KIND, config=config)
            text_description = TextDescription(
                wording["width"],
                split.max_report_tokens or wording["max_tokens"],
                wording["max_tokens"],
                wording["padded"],
            )
            reference = read_template(template)
            chest = working_template(reference.volume, reference.lungs, register.working_spacing_mm)
            write_reference(model.parent, chest)
            description = ModelDescription(
                grid=_grid(grid, reference),
                latents=described,
                text=text_description,
                training=_training(split, train_dit.num_steps),
                fingerprint=fingerprint(settings, identity.sha256),
                files={},
                sampling=sampling,
                register=register.model_dump(mode="json"),
            )
            write_card(model.parent, export_model(model.parent, tokenizer, encoder, description))


def _training_settings(settings: str) -> str:
    """Return the canonical JSON of the settings that decide the weights: not the sampling, nor the registration."""
    values = json.loads(settings)
    del values["sampling"], values["register"]
    return canonical_json(values)


def _learner(network: DiT, flow: FlowConfig, config: TrainDiTConfig) -> Learner:
    objective = DiTObjective(flow)

    def loss(networks: Mapping[str, nn.Module], batch: DiTBatch, generator: torch.Generator, step: int) -> MicroLoss:
        losses = objective(networks[KIND], batch, generator)
        return MicroLoss(losses.loss, losses.bin_sums, losses.bin_counts)

    bins = tuple(f"loss_t{tenth}" for tenth in range(TIME_BINS))
    return Learner(network, loss, AdamSettings.of(config), config.ema_decay, bins)


def _check_origins(split: Split, wording: Mapping[str, Any], tokenizer: Path, encoder: Path) -> None:
    """Refuse latents, reports and pre-prompts that were not made with the networks that go into the model's folder."""
    load_sealed(tokenizer)  # Damage is no other tokenizer, and heals otherwise.
    found = sha256_of(tokenizer)
    if split.latents.tokenizer != found:
        raise ConfigError(
            f"The latents were made with another tokenizer than {tokenizer} ({found[:12]}).",
            code="inputs-disagree",
            remedy="run the workflow, which encodes them again.",
        )
    identity = encoder_identity(encoder)
    if wording["encoder"] != identity or (split.encoder and split.encoder != identity):
        raise ConfigError(
            f"The reports or the pre-prompts were made with another text encoder than {encoder}.",
            code="inputs-disagree",
            remedy="run the workflow, which encodes them again.",
        )


def _check_patch(shape: tuple[int, int, int, int], dit: DiTConfig) -> None:
    if any(size % patch for size, patch in zip(shape[1:], dit.patch, strict=True)):
        raise ConfigError(
            f"dit.patch {dit.patch} does not divide the latents' {tuple(shape[1:])} voxels.",
            code="patch-invalid",
            remedy="choose grid.shape as a multiple of (4, 8, 8) times dit.patch.",
        )


def _grid(config: GridConfig, template: Template) -> GridDescription:
    return GridDescription(config.shape, affine_rows(template.volume.affine_mm.tolist()), config.clip_hu)


def _latents(split: Split, config: TrainDiTConfig) -> LatentDescription:
    origin = split.latents
    masks = split.masks if config.mask_statistics == "by_structure" else {}
    return LatentDescription(origin.shape, split.image, split.mask, origin.window, origin.overlap, masks)


def _training(split: Split, num_steps: int) -> TrainingDescription:
    structures = Counter(name for case in split.cases for name in case.structures)
    return TrainingDescription(
        num_steps=num_steps,
        num_cases=len(split.cases),
        num_reports=sum(case.report is not None for case in split.cases),
        structures=dict(sorted(structures.items())),
        cases_sha256=fingerprint(sorted(case.id for case in split.cases)),
        note=NOTE,
    )
