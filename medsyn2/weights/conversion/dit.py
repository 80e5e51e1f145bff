"""Where the transformer's tensors are in the folder that the authors released.

Theirs is a state of Hugging Face's accelerate: the network in ``model.safetensors`` or ``pytorch_model.bin``,
beside optimizers and random states that other suffixes would pick up too. The folder is called
``final_ckpt`` and may be given itself, or the one that holds it. ``medsyn2.nn.transformer.official_weights``
has the names.
"""

from pathlib import Path

FOLDER = "final_ckpt"
NETWORKS = ("model.safetensors", "pytorch_model.bin")


def network_file(source: Path) -> Path:
    """Return the network's file in the released folder; `source` itself where it is no such folder."""
    for folder in (source, source / FOLDER):
        for name in NETWORKS:
            if (folder / name).is_file():
                return folder / name
    return source
