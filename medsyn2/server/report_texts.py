"""A report as the text encoder takes it: its tokens, what is cut off, and the words that it does not know.

Only the tokenizer is needed, so that the answer comes while the model works.
"""

import re

from transformers import BertTokenizer

from medsyn2.nn.split_words import note_split_words
from medsyn2.nn.text_encoder import NUM_SPECIAL_TOKENS
from medsyn2.reports.prompts import absent_prompt, mask_prompt
from medsyn2.reports.text import compose_report, text_or_none
from medsyn2.server.problems import JSON
from medsyn2.vocabulary import structure_of
from medsyn2.weights.model_folder import ModelDescription

_WORD = re.compile(r"\w[\w'/-]*")


class Texts:
    """The tokenizer of a model, and the lengths that the model takes."""

    def __init__(self, tokenizer: BertTokenizer, description: ModelDescription) -> None:
        self._tokenizer, self._described = tokenizer, description.text
        self._structures = description.training.structures

    def describe(self, findings: str | None, impression: str | None, words: str | None) -> JSON:
        """Return how the model reads a report and the words of a mask."""
        report = compose_report(findings, impression, str(self._tokenizer.sep_token)) or ""
        limit = self._described.max_report_tokens
        encoded = self._tokenizer(report, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        # A padded model's [SEP] has no place of its own, see `TextEncoder.encode_padded`.
        room = limit - NUM_SPECIAL_TOKENS + int(self._described.padded)
        cut = report[offsets[room][0] :] if len(ids) > room else ""
        tokens = [str(token) for token in self._tokenizer.convert_ids_to_tokens(ids)]
        asked = text_or_none(words)
        return {
            "tokens": len(ids) + NUM_SPECIAL_TOKENS if report else 0,
            "max_tokens": limit,
            "report": report,
            "cut": cut,
            **self._strange_words(report),
            "prompt": absent_prompt() if asked is None else mask_prompt(asked),
            "notes": [*note_split_words(tokens, str(self._tokenizer.unk_token)), *self._notes(asked)],
        }

    def _strange_words(self, report: str) -> dict[str, list[str]]:
        """Return the words that have an unknown token, and those that are spelled in pieces."""
        unknown, split = [], []
        for word in dict.fromkeys(_WORD.findall(report)):
            pieces = self._tokenizer.tokenize(word)
            if self._tokenizer.unk_token in pieces:
                unknown.append(word)
            elif any(piece.startswith("##") for piece in pieces):
                split.append(word)
        return {"unknown": unknown, "split": split}

    def _notes(self, words: str | None) -> list[str]:
        if words is None:
            return []
        structure = structure_of(words)
        if structure is None:
            return [f"the model was not trained with masks of {words!r}"]
        return [] if self._structures.get(structure, 0) != 0 else [f"no training case had a mask of {words!r}"]
