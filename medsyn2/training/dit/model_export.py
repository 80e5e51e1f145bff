"""Export of a trained model into its folder (``medsyn2.weights.model_folder``)."""

import shutil
from dataclasses import replace
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


def export_model(folder: Path, tokenizer: Path, text_encoder: Path, description: ModelDescription) -> None:
    """Copy the other stages' parts into `folder`, next to the transformer, and write ``model.json`` last.

    Args:
        description: The model without its files' hashes, with a fingerprint of its inputs; the written fingerprint
            also covers the files, so that no two models share one.
    """
    (folder / DESCRIPTION).unlink(missing_ok=True)
    copies = {
        folder / TOKENIZER: tokenizer,
        tensors_path(folder / TOKENIZER): tensors_path(tokenizer),
    }
    for name in (*ENCODER_FILES, TOKENIZER_CONFIG_FILE):
        if (text_encoder / name).is_file():
            copies[folder / TEXT_ENCODER / name] = text_encoder / name
    for place, source in copies.items():
        write_atomically(place, partial(shutil.copyfile, source))
    files = hash_files(folder)
    identity = fingerprint(description.fingerprint, files)
    write_description(folder, replace(description, files=files, fingerprint=identity))
