"""The diffusion transformer."""

from typing import TYPE_CHECKING

from medsyn2.faces import lazy

if TYPE_CHECKING:
    from medsyn2.nn.transformer.conditioning import Conditioning
    from medsyn2.nn.transformer.dit import DiT
else:
    __getattr__, __dir__ = lazy(
        __name__, {"DiT": "medsyn2.nn.transformer.dit", "Conditioning": "medsyn2.nn.transformer.conditioning"}
    )

__all__ = ["Conditioning", "DiT"]
