"""Export of a trained model into its folder (``medsyn2.weights.model_folder``)."""

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from medsyn2.files import write_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.nn.text_encoder import ENCODER_FILES, TOKENIZER_CONFIG_FILE
from medsyn2.weights.model_folder import (
    DESCRIPTION,
    TEXT_ENCODER,
    TOKENIZER,
    ModelDescription,
    hash_files,
    write_description,
)
from medsyn2.weights.tensors import tensors_path


@dataclass(frozen=True)
class Parts:
    """Paths of the parts made by other stages."""

    tokenizer: Path  # Description of the tokenizer, next to its tensors
    text_encoder: Path  # Folder of the text encoder


def export_model(folder: Path, parts: Parts, description: ModelDescription) -> None:
    """Copy the parts into `folder`, next to the transformer, and write ``model.json`` last.

    Args:
        folder: The model's folder.
        parts: Parts to copy.
        description: The model without its files' hashes, with a fingerprint of its inputs; the written fingerprint
            also covers the files, so that no two models share one.
    """
    (folder / DESCRIPTION).unlink(missing_ok=True)
    copies = {
        folder / TOKENIZER: parts.tokenizer,
        tensors_path(folder / TOKENIZER): tensors_path(parts.tokenizer),
    }
    for name in (*ENCODER_FILES, TOKENIZER_CONFIG_FILE):
        if (parts.text_encoder / name).is_file():
            copies[folder / TEXT_ENCODER / name] = parts.text_encoder / name
    for place, source in copies.items():
        write_atomically(place, partial(shutil.copyfile, source))
    files = hash_files(folder)
    identity = fingerprint(description.fingerprint, files)
    write_description(folder, replace(description, files=files, fingerprint=identity))
