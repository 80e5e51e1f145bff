"""Foreign and own weights: the catalogue, the download, the conversion, and the folder of a trained model."""

from typing import TYPE_CHECKING

from medsyn2.faces import lazy

if TYPE_CHECKING:
    from medsyn2.weights.model_folder import ModelDescription, read_description
    from medsyn2.weights.networks import load_dit, load_tokenizer
    from medsyn2.weights.tensors import load_component, load_strictly, save_component
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            **dict.fromkeys(("ModelDescription", "read_description"), "medsyn2.weights.model_folder"),
            **dict.fromkeys(("load_dit", "load_tokenizer"), "medsyn2.weights.networks"),
            **dict.fromkeys(("load_component", "load_strictly", "save_component"), "medsyn2.weights.tensors"),
        },
    )

__all__ = [
    "ModelDescription",
    "load_component",
    "load_dit",
    "load_strictly",
    "load_tokenizer",
    "read_description",
    "save_component",
]
