"""Putting a trained model into its folder: see ``medsyn2.weights.model_folder`` for what is in it."""

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from medsyn2.files import write_atomically
from medsyn2.nn.text_encoder import ENCODER_FILES, TOKENIZER_CONFIG_FILE
from medsyn2.store.artefacts import fingerprint
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
    """Where the parts that other stages made are.

    Attributes:
        tokenizer: Description of the tokenizer; its tensors lie beside it.
        text_encoder: Folder of the text encoder.
    """

    tokenizer: Path
    text_encoder: Path


def export_model(folder: Path, parts: Parts, description: ModelDescription) -> None:
    """Copy the parts into `folder`, beside the transformer that is there, and write ``model.json`` last.

    Args:
        folder: The model's folder.
        parts: What is copied.
        description: The model without its files' hashes, and with a fingerprint of what it was made from; the
            one that is written covers the files too, so that no two models share it.
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
