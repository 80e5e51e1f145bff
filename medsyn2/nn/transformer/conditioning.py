"""Conditions of a sample: mask latents and text.

Both are always there: without a mask the latents are zeros and the text begins with "no image segmentation is
provided"; without a report the text is that pre-prompt alone. Pre-prompt and report are padded separately, so padding
may stand in the middle; the text mask marks the real tokens. Tokens carry no position here, as the text encoder has
encoded word order, so their order does not matter to the network.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from medsyn2.types import Bool, Float

Latents = Float[Tensor, "b z ld lh lw"]


@dataclass(frozen=True)
class Conditioning:
    """The conditions of a batch."""

    # Normalised latents of the mask; zeros where no mask is given
    mask_latents: Float[Tensor, "b z ld lh lw"]
    text: Float[Tensor, "b m c"]  # Token embeddings, pre-prompt then report
    text_mask: Bool[Tensor, "b m"] | None = None  # True for real tokens; None if all are

    def bind(self, network: Callable[..., Latents]) -> Callable[[Latents, Float[Tensor, " b"]], Latents]:
        """Return `network` as a function of noisy latents and time, the form that solvers take."""

        def predict_clean(latents: Latents, t: Float[Tensor, " b"]) -> Latents:
            return network(latents, t, self.mask_latents, self.text, self.text_mask)

        return predict_clean


def real_tokens(
    text: Float[Tensor, "b m c"], text_mask: Bool[Tensor, "b m"]
) -> tuple[Float[Tensor, "b k c"], Bool[Tensor, "b k"] | None]:
    """Gather the real tokens of each text, so that attention does not compute shared padding.

    A single text, or texts of one length, then need no mask and run in the fastest kernels. Other texts are padded to
    the longest. A masked length of 64 modulo 128 is avoided: cuDNN's attention has returned NaN gradients for it
    (pytorch issue 196678).

    Returns:
        The tokens, and a mask over them, or None if all are real.

    Raises:
        ValueError: If a text has no real token.
    """
    lengths = text_mask.sum(dim=1)
    shortest, longest = lengths.min().item(), lengths.max().item()
    if shortest == 0:
        raise ValueError("a text has no real token; without a report it is the pre-prompt alone, never empty")
    order = text_mask.int().argsort(dim=1, descending=True, stable=True)[:, :longest]
    packed = text.gather(1, order[:, :, None].expand(-1, -1, text.shape[2]))
    if shortest == longest:
        return packed, None
    if longest % 128 == 64:
        packed, longest = F.pad(packed, (0, 0, 0, 1)), longest + 1
    return packed, torch.arange(longest, device=text.device) < lengths[:, None]
