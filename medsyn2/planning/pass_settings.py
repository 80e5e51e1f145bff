"""All that decides what a pass of a network takes: a pass that is kept is simulated anew when a value here changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medsyn2.vocabulary import Precision

TRAINING_BF16 = "bf16-mixed"

Size = tuple[int, int, int]


@dataclass(frozen=True)
class TokenizerSettings:
    """All that decides what the tokenizer's passes take."""

    network: Mapping[str, Any]  # Section ``tokenizer``
    volume_shape: Size  # Depth, height, width
    window: Size | None  # Of encoding and decoding
    overlap: float  # Of neighbouring windows
    precision: Precision  # Of encoding and decoding
    batch_size: int  # Of a training step
    crop_shape: Size  # Of a training step
    training_precision: str
    is_perceptual: bool  # Whether a training step has the perceptual loss


@dataclass(frozen=True)
class TransformerSettings:
    """All that decides what the transformer's passes take."""

    network: Mapping[str, Any]  # Section ``dit``
    latent_shape: tuple[int, int, int, int]  # Channels, depth, height, width of a volume's latents
    text_tokens: int  # Of pre-prompt and report
    text_width: int  # Of their embeddings
    precision: Precision  # Of sampling
    batch_size: int  # Of a training micro-step
    training_precision: str
    checkpointing: Literal["none", "selective", "full"]
