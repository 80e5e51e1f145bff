"""Models in half the bytes: a model folder with its tensors in float16.

Networks are built in float32 and take float16 values exactly, so that the numbers are rounded once, here. The result is
another model than its source and has a fingerprint of its own.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from medsyn2.errors import ConfigError, WeightsError
from medsyn2.fingerprints import fingerprint
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.weights.model_card import write_card
from medsyn2.weights.model_folder import (
    CARD,
    DESCRIPTION,
    DIT,
    PROMPTS,
    TEXT_ENCODER,
    TOKENIZER,
    ModelDescription,
    hash_files,
    read_description,
    write_description,
)
from medsyn2.weights.tensors import load_component, save_component, tensors_path

MEASURED_BEFORE = "These figures are of the model in float32, before its tensors were rounded to float16."
NETWORKS = {DIT: "dit", TOKENIZER: "tokenizer"}


def halve_tensors(tensors: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Round the tensors of `source` to float16; whole numbers stay as they are.

    Raises:
        WeightsError: If a value is larger than float16 can hold.
    """
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    large = [name for name, tensor in halved.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if large:
        raise WeightsError(
            f"{source} holds values that float16 cannot: {', '.join(large[:3])}.",
            code="weights-overflow",
            remedy=f"keep this model in float32; the largest value of float16 is {torch.finfo(torch.float16).max:g}.",
        )
    return halved


def halve_model(source: Path, folder: Path, figures: Sequence[str] = ()) -> ModelDescription:
    """Write the model of `source` in float16 into `folder`; the same model gives the same bytes.

    Args:
        folder: Destination, absent or empty.
        figures: Sections of the card with figures that were measured with the source.

    Raises:
        WeightsError: If the source is damaged, or holds values that float16 cannot.
        ConfigError: If there is something in the folder.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty.", code="output-taken", remedy="give a folder that does not exist yet."
        )
    before = read_description(source)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(source, partial, ignore=shutil.ignore_patterns(CARD, DESCRIPTION, ".*"))
        for name, kind in NETWORKS.items():
            config, state = load_component(source / name, kind)
            save_component(partial / name, halve_tensors(state, tensors_path(source / name)), kind=kind, config=config)
        encoder = TextEncoder.from_folder(source / TEXT_ENCODER)
        halve_tensors(encoder.bert.state_dict(), source / TEXT_ENCODER)
        encoder.half().save(partial / TEXT_ENCODER)
        if PROMPTS in before.files:
            save_file(halve_tensors(load_file(source / PROMPTS), source / PROMPTS), partial / PROMPTS)
        files = hash_files(partial)
        description = replace(before, files=files, fingerprint=fingerprint(before.fingerprint, files))
        write_description(partial, description)
        write_card(partial, description, [*figures, MEASURED_BEFORE] if figures else ())
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return description
