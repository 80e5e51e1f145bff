"""The check of a request, before any computation, so that a mistake costs a second and not an hour.

Two things are never mixed up. *No mask* means that the model may put anything anywhere; it is told so by zeros
and by the sentence "no image segmentation is provided". An *empty mask* is a mask, of nothing: the model is
told that the structure is nowhere, by the latents of an all-background mask.

Words for a mask may be any, since the meaning of a mask is text to the model; those that it was not trained with
are noted, with the nearest that it was.
"""

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from math import isnan
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from medsyn2.ct.binary_mask import binarize, mask_to_grid
from medsyn2.ct.volume import Grid, LabelMap
from medsyn2.errors import MaskError, ReportError
from medsyn2.nn.text_encoder import NUM_SPECIAL_TOKENS, TextEncoder
from medsyn2.reports.text import clean_text, compose_report, text_or_none
from medsyn2.vocabulary import STRUCTURE_WORDS, STRUCTURES, Structure

_MANY_UNKNOWN = 0.05
_FAR = 40.0
"""Standard deviations. Latents of lobes reach 26 in the model that ships, as few blocks of a mask hold an edge."""


@dataclass(frozen=True)
class Prompt:
    """A request in the terms of the model."""

    report: str | None  # Findings and impression as one text; None without a report
    mask: Bool[np.ndarray, "d h w"] | None  # Where the structure is, on the model's grid; None without a mask
    words: str | None  # What the mask is of
    notes: tuple[str, ...] = ()  # What the user should know about how this was understood


def check_inputs(
    *,
    report: object,
    findings: object,
    impression: object,
    mask: object,
    mask_text: object,
    grid: Grid,
    trained: Collection[Structure],
    separator: str,
) -> Prompt:
    """Check a request and bring it to the terms of the model.

    Args:
        report: A whole report, text or None, as are the next two; or else
        findings: its first and
        impression: its second part.
        mask: A binary mask, on any grid.
        mask_text: Structure that the mask shows: its name, its words, or any other words.
        trained: Structures that the model was trained with masks of.

    Raises:
        ReportError: If a text is none, or a whole report and its parts are given.
        MaskError: If a mask comes without words or words without a mask, or the mask is unusable.
    """
    report, findings = _text(report, "report"), _text(findings, "findings")
    impression, mask_text = _text(impression, "impression"), _text(mask_text, "mask_text")
    if mask is not None and not isinstance(mask, LabelMap):
        raise _not_a_label_map(mask)
    if report is not None and (findings is not None or impression is not None):
        raise ReportError(
            "expected a whole report or its parts, got both.",
            code="report-twice",
            remedy="give either report, or findings and impression.",
        )
    text = compose_report(report if findings is None else findings, impression, separator)
    given = any(part is not None for part in (report, findings, impression))
    unused = (_EMPTY_REPORT,) if given and text is None else ()
    words = text_or_none(mask_text)
    if mask is None and words is None:
        return Prompt(text, None, None, unused)
    known = ", ".join(repr(STRUCTURE_WORDS[name]) for name in STRUCTURES)
    if mask is None:
        raise MaskError(
            f"expected a mask for the words {words!r}, got none.",
            code="words-without-mask",
            remedy="give the mask too, or put the words into the report.",
        )
    if words is None:
        raise MaskError(
            "expected words that say what the mask is of, got none.",
            code="mask-without-words",
            remedy=f"give them as mask text. The model knows {known}; others are allowed.",
        )
    inside, reading = binarize(mask.labels, "the mask")
    placed, moving = mask_to_grid(LabelMap(inside, mask.affine_mm), grid)
    empty = () if placed.any() else (_EMPTY,)
    words, meaning = _match_words(words, trained)
    return Prompt(text, placed, words, (*unused, *reading, *moving, *empty, *meaning))


def _text(value: object, name: str) -> str | None:
    """Return a text, and the missing value of a table, which is NaN or pandas' NA or NaT, as an empty one."""
    if value is None or isinstance(value, str):
        return value
    if type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and isnan(value)):
        return ""
    raise ReportError(
        f"{name}: expected text, got {type(value).__name__}.",
        code="text-type",
        remedy="give a string, or None for none; a file is read by you or by `medsyn2 generate --report-file`.",
    )


def _not_a_label_map(mask: object) -> MaskError:
    if isinstance(mask, str | Path):
        remedy = "give read_labels(path) instead of the path."
    elif hasattr(mask, "shape"):
        remedy = "give LabelMap(array, affine_mm); the affine of the model's grid is pipeline.grid.affine_mm."
    else:
        remedy = "give read_labels(path), or LabelMap(array, affine_mm)."
    return MaskError(f"mask: expected a LabelMap, got {type(mask).__name__}.", code="mask-type", remedy=remedy)


_EMPTY_REPORT = "the report says nothing: the volume is made as if none had been given"
_EMPTY = "the mask is empty: the model is told that the structure is nowhere, which is not the same as giving no mask"


def _match_words(words: str, trained: Collection[Structure]) -> tuple[str, tuple[str, ...]]:
    """Return the words as the model was trained with them, and a note if it was not."""
    spoken = clean_text(words.replace("_", " ")).lower()
    by_words = {
        spelling: name for name, known in STRUCTURE_WORDS.items() for spelling in (known, name.replace("_", " "))
    }
    name = by_words.get(spoken)
    if name is None:
        nearest = get_close_matches(spoken, list(STRUCTURE_WORDS.values()), n=2, cutoff=0.0)
        note = f"the model was not trained with masks of {words!r}; the nearest it knows are {nearest}"
        return words, (note,)
    if name not in trained:
        return STRUCTURE_WORDS[name], (f"no training case of this model had a mask of {words!r}",)
    return STRUCTURE_WORDS[name], ()


def encode_given(
    encoder: TextEncoder, text: str, max_tokens: int, subject: str, *, padded: bool = False
) -> tuple[Float[Tensor, "1 m e"], tuple[str, ...]]:
    """Encode one text and note unknown and cut tokens.

    Args:
        max_tokens: Tokens the model was trained with.
        subject: Name of the text, for the notes.
        padded: Whether the model was trained with padded texts; there are `max_tokens` embeddings then.

    Raises:
        ReportError: If no word of the text is known.
    """
    encoded = (encoder.encode_padded if padded else encoder.encode)([text], max_tokens)
    length, unknown, cut = int(encoded.lengths[0]), encoded.unknown[0], encoded.cut[0]
    if unknown and unknown == length - NUM_SPECIAL_TOKENS:
        raise ReportError(
            f"expected {subject} in the text encoder's language, got one of which it knows no word: {text[:80]!r}.",
            code="report-unknown-words",
            remedy="write it in the language of the reports that the model was trained with.",
        )
    notes = []
    if unknown > _MANY_UNKNOWN * length:
        notes.append(f"{unknown} of the {length} tokens of {subject} are unknown to the text encoder")
    notes += [f"{subject}: {note}" for note in encoded.notes[0]]
    if cut:
        left_out = f"left out {encoded.num_cut[0]}: {cut!r}"
        notes.append(f"{subject} has more than the {max_tokens} tokens the model reads; {left_out}")
    return encoded.embeddings if padded else encoded.embeddings[:, :length], tuple(notes)


def far_from_expected(mask_latents: Float[Tensor, "b z ld lh lw"], words: str) -> tuple[str, ...]:
    """Return a note if normalised latents of a mask are further from 0 than statistics of their own could be."""
    furthest = mask_latents.abs().max().item()
    if furthest <= _FAR:
        return ()
    return (
        f"the latents of the mask of {words!r} are up to {furthest:.0f} standard deviations from the mean that the "
        "model is described with: it was probably trained with masks that were encoded in another way, and what it "
        "makes of this one is uncertain",
    )
