"""Writing a pipeline's model into a folder: see ``medsyn2.weights.model_folder`` for its files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from medsyn2.errors import ConfigError
from medsyn2.fingerprints import fingerprint
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.nn.transformer.dit import DiT
from medsyn2.weights.model_folder import (
    DIT,
    PROMPTS,
    TEXT_ENCODER,
    TOKENIZER,
    ModelDescription,
    hash_files,
    write_description,
)
from medsyn2.weights.tensors import save_component


def save_parts(
    folder: Path,
    dit: DiT,
    tokenizer: CausalVideoVAE,
    text_encoder: TextEncoder,
    prompts: Mapping[str, Float[Tensor, "m e"]],
    description: ModelDescription,
) -> None:
    """Write the parts and their description, ``model.json`` last.

    Args:
        description: The model as it was loaded; other files than its own give it another fingerprint.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} is not empty.",
            code="output-taken",
            remedy="give a folder that does not exist yet.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_component(folder / DIT, dit, kind="dit", config=dit.config)
    save_component(folder / TOKENIZER, tokenizer, kind="tokenizer", config=tokenizer.config)
    text_encoder.save(folder / TEXT_ENCODER)
    if prompts:
        save_file({name: tensor.cpu().contiguous() for name, tensor in prompts.items()}, folder / PROMPTS)
    files = hash_files(folder)
    known = (
        description.fingerprint if files == description.files else fingerprint(description.fingerprint, files)
    )
    write_description(folder, replace(description, files=files, fingerprint=known))
