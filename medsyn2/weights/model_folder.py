"""The folder of a trained model and its description, ``model.json``.

    model.json           the description; written last, so that a folder with one is complete
    dit.json             configuration of the diffusion transformer, its weights in dit.safetensors
    tokenizer.json       configuration of the tokenizer, its weights in tokenizer.safetensors
    text_encoder/        the text encoder in Hugging Face format
    prompts.safetensors  token embeddings of the pre-prompts by structure, and ``absent`` for no mask, which replace
                         the text encoder's; only in converted models
    template*.nii.gz     the template that real CTs are registered to (``model_template.py``); not in converted models
    README.md            the card (``model_card.py``), which its owner may change; it is not hashed

The folder is all that sampling needs and can be copied. ``model.json`` holds the sha256 of every other file and is
sealed; both are compared at reading, so that an incomplete or changed copy is refused.

Latents are normalised by channel as (latents - mean) / std, with separate statistics for images and masks (or for each
structure's masks) over the training split; predictions are denormalised with the image's. Keys added to the
description later default to the behaviour of models without them.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor

from medsyn2.errors import WeightsError, reason
from medsyn2.files import sha256_of, write_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.flow.sampling import Sampling
from medsyn2.integrity import is_unchanged, read_sealed, write_sealed
from medsyn2.nn.text_encoder import ENCODER_FILES, TOKENIZER_CONFIG_FILE
from medsyn2.types import Float
from medsyn2.vocabulary import Structure
from medsyn2.weights.tensors import tensors_path

FORMAT = 1
DESCRIPTION = "model.json"
CARD = "README.md"
DIT = "dit.json"
TOKENIZER = "tokenizer.json"
TEXT_ENCODER = "text_encoder"
PROMPTS = "prompts.safetensors"

_SAMPLING_BEFORE = {"num_steps": 25, "guidance_mask": 1.0}
"""How models are sampled whose description was written before it held the whole of the sampling."""

Triple = tuple[int, int, int]
Row = tuple[float, float, float, float]


@dataclass(frozen=True)
class GridDescription:
    """The grid of the model's volumes, and the HU values mapped to -1 and 1."""

    shape: Triple
    affine_mm: tuple[Row, Row, Row, Row]
    clip_hu: tuple[float, float]


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of each latent channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalize(self, latents: Float[Tensor, "*b z ld lh lw"]) -> Float[Tensor, "*b z ld lh lw"]:
        """Return (latents - mean) / std, channel by channel."""
        return (latents - _channels(self.mean, latents)) / _channels(self.std, latents)

    def denormalize(self, latents: Float[Tensor, "*b z ld lh lw"]) -> Float[Tensor, "*b z ld lh lw"]:
        """Undo `normalize`."""
        return latents * _channels(self.std, latents) + _channels(self.mean, latents)


def _channels(values: tuple[float, ...], like: Tensor) -> Float[Tensor, "z 1 1 1"]:
    return like.new_tensor(values)[:, None, None, None]


@dataclass(frozen=True)
class LatentDescription:
    """Shape, statistics and encoding of the latents."""

    shape: tuple[int, int, int, int]  # Channels, depth, height, width
    image: ChannelStatistics  # Statistics of image latents
    mask: ChannelStatistics  # Statistics of the latents of non-empty masks
    # Sliding window of the encoder in voxels (depth, height, width); None encodes whole volumes
    window: Triple | None
    overlap: float  # Overlap of neighbouring windows, as a share of the window
    # Statistics of structures whose masks have their own
    masks: Mapping[Structure, ChannelStatistics] = field(default_factory=dict)
    # Slices per independently encoded chunk of a mask; None encodes masks as volumes
    mask_chunk: int | None = None


@dataclass(frozen=True)
class TextDescription:
    """Encoding of texts."""

    width: int  # Width of a token's embedding
    max_report_tokens: int  # Tokens of a report in training
    max_prompt_tokens: int  # Tokens of a pre-prompt in training
    padded: bool = False  # Texts are padded to these numbers of tokens, and the padding is attended to


@dataclass(frozen=True)
class TrainingDescription:
    """Training data of the model; None is unknown."""

    num_steps: int | None  # Optimizer steps
    num_cases: int | None  # Training cases
    num_reports: int | None  # Training cases with a report
    structures: Mapping[Structure, int | None]  # Structures with masks in training, with the number of cases of each
    cases_sha256: str | None  # Hash of the training cases' ids, which identifies the cohort
    note: str  # Remarks for users of the model


@dataclass(frozen=True)
class ModelDescription:
    """The content of ``model.json``."""

    grid: GridDescription  # Grid of the volumes
    latents: LatentDescription  # Latents of the transformer
    text: TextDescription  # Encoding of texts
    training: TrainingDescription  # Training data
    fingerprint: str  # Hash of the settings, of the inputs and of every file; no two models share one
    files: Mapping[str, str]  # sha256 of every other file of the folder, by its path in it
    # Default sampling, that of the run that trained the model. It is no part of the fingerprint, since it
    # changes no weight.
    sampling: Sampling = field(default_factory=Sampling)
    licence: str = ""  # Licence stated by the weights' authors
    # Settings of the registration to the template in the folder; None where it holds none
    register: Mapping[str, Any] | None = None
    format: int = FORMAT  # Format of this description


def affine_rows(values: list[list[float]]) -> tuple[Row, Row, Row, Row]:
    """Return a 4 x 4 affine as tuples."""
    rows: list[Row] = [(float(a), float(b), float(c), float(d)) for a, b, c, d in values]
    first, second, third, fourth = rows
    return first, second, third, fourth


def hash_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a model folder except ``model.json``, its card and hidden ones."""
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.as_posix(): sha256_of(folder / path)
        for path in files
        if path.as_posix() not in (DESCRIPTION, CARD) and not any(part.startswith(".") for part in path.parts)
    }


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write ``model.json`` atomically; every other file must be in place."""
    write_sealed(folder / DESCRIPTION, asdict(description))


def export_model(folder: Path, tokenizer: Path, text_encoder: Path, description: ModelDescription) -> ModelDescription:
    """Copy the other stages' parts into `folder`, next to the transformer, and write ``model.json`` last.

    Args:
        description: The model without its files' hashes, with a fingerprint of its inputs; the written fingerprint
            also covers the files, so that no two models share one.

    Returns:
        The description as it was written.
    """
    (folder / DESCRIPTION).unlink(missing_ok=True)
    copies = {folder / TOKENIZER: tokenizer, tensors_path(folder / TOKENIZER): tensors_path(tokenizer)}
    for name in (*ENCODER_FILES, TOKENIZER_CONFIG_FILE):
        if (text_encoder / name).is_file():
            copies[folder / TEXT_ENCODER / name] = text_encoder / name
    for place, source in copies.items():
        write_atomically(place, partial(shutil.copyfile, source))
    files = hash_files(folder)
    written = replace(description, files=files, fingerprint=fingerprint(description.fingerprint, files))
    write_description(folder, written)
    return written


def read_description(folder: Path) -> ModelDescription:
    """Read ``model.json`` and compare every file of the folder with it.

    Raises:
        WeightsError: If the description or a file is missing, or a file has changed.
    """
    path = folder / DESCRIPTION
    try:
        description = _description(read_sealed(path))
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} holds no {DESCRIPTION}.",
            code="model-missing",
            remedy="give the folder that train_dit wrote, such as results/train_dit/model, or one that "
            "`medsyn2 convert official` made.",
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{path} is no description of a model in format {FORMAT}: {reason(error)}.",
            code="model-unreadable",
            remedy=f"copy the whole folder again, or `rm {path}` and run the workflow again, with this version.",
        ) from error
    for name, expected in description.files.items():
        if not is_unchanged(folder / name, expected):
            raise WeightsError(
                f"{folder / name} is missing or is not the file that was written with {DESCRIPTION}.",
                code="model-damaged",
                remedy=f"copy the whole folder again, or `rm {path}` and run the workflow again.",
            )
    return description


def _description(values: dict[str, Any]) -> ModelDescription:
    if values["format"] != FORMAT:
        raise ValueError(f"format {values['format']}")
    sampling = {**_SAMPLING_BEFORE, **values.get("sampling", {})}
    return TypeAdapter(ModelDescription).validate_python({**values, "sampling": sampling})
