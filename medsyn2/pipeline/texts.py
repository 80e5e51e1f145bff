"""The words of a request as token embeddings: the pre-prompt, which is always there, and the report.

Most models read the words as they are. A model that was trained with padded texts (``TextDescription.padded``)
gets the padding too, and attends to it as if it were words. A model may bring pre-prompts as embeddings of its
own, by structure: of the authors' pre-prompts, the embeddings are public and the wording is not.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.pipeline.inputs import encode_given
from medsyn2.reports.prompts import absent_prompt, mask_prompt
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure
from medsyn2.weights.model_folder import TextDescription

ABSENT = "absent"
"""Name of the embedding of the pre-prompt that says there is no mask."""

Embedded = tuple[Float[Tensor, "1 m e"], tuple[str, ...]]
"""Token embeddings, and notes for the user."""


def structure_of(words: str) -> Structure | None:
    """Return the structure that is called so in a pre-prompt; None for words of the user's own."""
    return next((name for name, known in STRUCTURE_WORDS.items() if known == words), None)


class Texts:
    """The texts of one model.

    Args:
        prompts: Pre-prompts that it brings as embeddings, by structure or `ABSENT`; none for most models.
    """

    def __init__(
        self, encoder: TextEncoder, described: TextDescription, prompts: Mapping[str, Float[Tensor, "m e"]]
    ) -> None:
        self.encoder, self.described, self.prompts = encoder, described, prompts

    def prompt(self, words: str | None) -> Embedded:
        """Return the pre-prompt of a mask of `words`, or the one without a mask."""
        name = ABSENT if words is None else structure_of(words)
        if name is not None and name in self.prompts:
            return self.prompts[name][None].to(self._device), ()
        text = absent_prompt() if words is None else mask_prompt(words)
        return self._encode(text, self.described.max_prompt_tokens, f"the pre-prompt {text!r}")

    def report(self, report: str) -> Embedded:
        """Return the embeddings of a report."""
        return self._encode(report, self.described.max_report_tokens, "the report")

    def _encode(self, text: str, max_tokens: int, subject: str) -> Embedded:
        return encode_given(self.encoder, text, max_tokens, subject, padded=self.described.padded)

    @property
    def _device(self) -> torch.device:
        return next(self.encoder.parameters()).device
