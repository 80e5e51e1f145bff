"""The networks that samples are made with, built from their files: the one place where they are loaded."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.device import move
from medsyn2.nn.transformer.dit import DiT
from medsyn2.weights.tensors import load_component, load_strictly


def load_tokenizer(path: Path, device: torch.device | None = None) -> CausalVideoVAE:
    """Load a tokenizer for inference.

    Args:
        device: Where it goes, in the memory format that is fast there; None leaves it as it is built.

    Raises:
        WeightsError: If a file is missing, damaged or of another network.
    """
    config, state = load_component(path, "tokenizer")
    network = CausalVideoVAE(**config)
    network.config = config
    load_strictly(network, state, source=path)
    if device is not None:
        move(network, device)
    return network.eval()


def load_dit(path: Path) -> DiT:
    """Load a diffusion transformer for inference."""
    config, state = load_component(path, "dit")
    network = DiT(**config)
    network.config = config
    load_strictly(network, state, source=path)
    return network.eval()


def load_prompts(path: Path) -> dict[str, Tensor]:
    """Load the embeddings of a model's own pre-prompts, by structure."""
    return {name: tensor.float() for name, tensor in load_file(path).items()}
