"""The pre-prompt: a sentence before the report that names the mask's structure, or says that there is no mask.

The paper has two forms (section 7.2): one with a mask, in five wordings, and one without, in three. Training draws a
wording at random, testing takes the first of each form. The paper quotes only the first wording without a mask; the
others stand in a figure whose text is not public, so they are ours, within the 32 tokens that the paper gives a
pre-prompt. Any words may fill a wording; models are trained with those of `medsyn2.vocabulary.STRUCTURE_WORDS`.
"""

from medsyn2.errors import MaskError
from medsyn2.reports.text import text_or_none
from medsyn2.vocabulary import STRUCTURE_WORDS, STRUCTURES, Structure

MASK_WORDINGS: tuple[str, ...] = (
    "image segmentation of {words} is provided",
    "the segmentation mask shows {words}",
    "a mask of {words} is given with the image",
    "the given segmentation outlines {words}",
    "{words}: the mask marks their place and shape",
)
"""With a mask; testing uses the first."""

ABSENT_WORDINGS: tuple[str, ...] = (
    "no image segmentation is provided",
    "there is no segmentation mask for this image",
    "the image is given without a mask",
)
"""Without a mask; testing uses the first, which is the paper's."""


def mask_prompt(words: str, wording: int = 0) -> str:
    """Return the pre-prompt for a mask of `words`, such as "lung nodules", in one of five wordings.

    Raises:
        MaskError: If `words` is empty.
    """
    cleaned = text_or_none(words)
    if cleaned is None:
        raise MaskError(
            f"Expected words that name the mask's structure, got {words!r}.",
            code="mask-without-words",
            remedy=f"give words such as {', '.join(repr(known) for known in STRUCTURE_WORDS.values())}.",
        )
    return MASK_WORDINGS[wording].format(words=cleaned)


def absent_prompt(wording: int = 0) -> str:
    """Return the pre-prompt without a mask, in one of three wordings."""
    return ABSENT_WORDINGS[wording]


def prompt_id(structure: Structure | None, wording: int = 0) -> str:
    """Return the name under which a pre-prompt's embedding is stored; None stands for no mask."""
    return f"{structure or 'absent'}-{wording}"


def all_prompts() -> dict[str, str]:
    """Return all pre-prompts of training by their id."""
    prompts = {
        prompt_id(structure, wording): mask_prompt(STRUCTURE_WORDS[structure], wording)
        for structure in STRUCTURES
        for wording in range(len(MASK_WORDINGS))
    }
    absent = {prompt_id(None, wording): absent_prompt(wording) for wording in range(len(ABSENT_WORDINGS))}
    return prompts | absent
