"""Export of the authors' released model as a model folder (``medsyn2.weights.model_folder``).

The folder is built next to its destination and moved there when complete.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from medsyn2.ct.volume import axis_aligned_affine
from medsyn2.errors import ConfigError
from medsyn2.fingerprints import fingerprint
from medsyn2.nn.text_encoder import write_encoder
from medsyn2.nn.transformer.layers import TokenGrid
from medsyn2.pipeline.generation import ABSENT
from medsyn2.vocabulary import STRUCTURES
from medsyn2.weights.conversion import official
from medsyn2.weights.conversion.official import OfficialModel, half, pool_mask_statistics
from medsyn2.weights.model_folder import (
    DIT,
    PROMPTS,
    TEXT_ENCODER,
    TOKENIZER,
    ChannelStatistics,
    GridDescription,
    LatentDescription,
    ModelDescription,
    TextDescription,
    TrainingDescription,
    affine_rows,
    hash_files,
    write_description,
)
from medsyn2.weights.tensors import save_component


def check_place(folder: Path) -> None:
    """Refuse an existing destination.

    Raises:
        ConfigError: If `folder` exists and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"expected no folder at {folder}, or an empty one; a model's folder is never added to.",
            code="output-exists",
            remedy="give another folder, or delete this one.",
        )


def describe(model: OfficialModel, token_grid: TokenGrid, files: Mapping[str, str]) -> ModelDescription:
    """Return the description of the released model."""
    patch = model.dit.config["patch"]
    ld, lh, lw = (tokens * size for tokens, size in zip(token_grid, patch, strict=True))
    depth, height, width = model.tokenizer.volume_shape((ld, lh, lw))
    affine = axis_aligned_affine(official.SPACING_MM, (0.0, 0.0, 0.0))
    return ModelDescription(
        grid=GridDescription((depth, height, width), affine_rows(affine.tolist()), official.CLIP_HU),
        latents=LatentDescription(
            shape=(official.CHANNELS, ld, lh, lw),
            image=_statistics(official.IMAGE_STATISTICS),
            mask=_statistics(pool_mask_statistics()),
            window=official.DECODE_WINDOW,
            overlap=official.DECODE_OVERLAP,
            masks={name: _statistics(values) for name, values in official.MASK_STATISTICS.items()},
            mask_chunk=official.MASK_CHUNK,
        ),
        text=TextDescription(
            width=model.dit.config["text_width"],
            max_report_tokens=official.MAX_REPORT_TOKENS,
            max_prompt_tokens=official.MAX_PROMPT_TOKENS,
            padded=True,
        ),
        training=TrainingDescription(
            num_steps=None,
            num_cases=None,
            num_reports=None,
            structures=dict.fromkeys(STRUCTURES),
            cases_sha256=None,
            note=" ".join(("Trained and released by the authors of MedSyn2, converted.", *official.DIFFERENCES)),
        ),
        fingerprint=fingerprint("official", files),
        files=files,
        sampling=official.SAMPLING,
        licence=official.LICENCE,
    )


def write_official(folder: Path, model: OfficialModel, token_grid: TokenGrid) -> ModelDescription:
    """Write the model's folder atomically; the same model gives the same bytes.

    Args:
        folder: Destination, absent or empty.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        save_component(partial / DIT, model.dit.state, kind="dit", config=model.dit.config, origin=model.dit_origin)
        save_component(
            partial / TOKENIZER,
            model.tokenizer,
            kind="tokenizer",
            config=model.tokenizer_config.model_dump(mode="json"),
            origin=model.tokenizer_origin,
        )
        write_encoder(partial / TEXT_ENCODER, **model.encoder.files)
        save_file({name or ABSENT: tensor for name, tensor in model.prompts.items()}, partial / PROMPTS)
        description = describe(model, token_grid, hash_files(partial))
        write_description(partial, description)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return description


def _statistics(values: official.Statistics) -> ChannelStatistics:
    mean, std = values
    return ChannelStatistics(half(mean), half(std))
