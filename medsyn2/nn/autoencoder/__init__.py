"""The CT video tokenizer, and how large volumes pass through it."""

from typing import TYPE_CHECKING

from medsyn2.faces import lazy

if TYPE_CHECKING:
    from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
    from medsyn2.nn.autoencoder.windows import decode_windowed, encode_windowed
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "CausalVideoVAE": "medsyn2.nn.autoencoder.tokenizer",
            **dict.fromkeys(("decode_windowed", "encode_windowed"), "medsyn2.nn.autoencoder.windows"),
        },
    )

__all__ = ["CausalVideoVAE", "decode_windowed", "encode_windowed"]
