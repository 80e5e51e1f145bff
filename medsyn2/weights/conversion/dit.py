"""Location of the transformer's tensors in the authors' released folder.

The folder is a checkpoint of Hugging Face's accelerate: the network in ``model.safetensors`` or ``pytorch_model.bin``,
next to optimizer and random states, which have the same suffixes as weights. Either ``final_ckpt`` or its parent may be
given. ``medsyn2.nn.transformer.official_weights`` has the names.
"""

from pathlib import Path

FOLDER = "final_ckpt"
NETWORKS = ("model.safetensors", "pytorch_model.bin")


def network_file(source: Path) -> Path:
    """Return the network's file in the released folder, or `source` if it is not such a folder."""
    for folder in (source, source / FOLDER):
        for name in NETWORKS:
            if (folder / name).is_file():
                return folder / name
    return source
