"""The pre-prompt: the sentence before the report that says what the mask means, or that there is none.

The paper has two forms (section 7.2): one with a mask, in five wordings, and one without, in three. In
training a wording is drawn at random; in testing it is the first of each form. The paper quotes one sentence
only, the first wording without a mask; the others stand in a figure whose text is not public, so they are our
own. They are short: the longest stays within the 32 tokens that the paper gives a pre-prompt.

The words that fill a wording are free. The nine of `medsyn2.vocabulary.STRUCTURE_WORDS` are what a model is
trained with.
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
"""With a mask. The first is the one used in testing."""

ABSENT_WORDINGS: tuple[str, ...] = (
    "no image segmentation is provided",
    "there is no segmentation mask for this image",
    "the image is given without a mask",
)
"""Without a mask. The first is the paper's and the one used in testing."""


def mask_prompt(words: str, wording: int = 0) -> str:
    """Return the pre-prompt for a mask of `words`, such as "lung nodules".

    Args:
        words: What the mask is of, in free words.
        wording: Which of the five wordings.

    Raises:
        MaskError: If `words` says nothing.
    """
    cleaned = text_or_none(words)
    if cleaned is None:
        raise MaskError(
            f"Expected words that say what the mask is of, got {words!r}.",
            code="mask-without-words",
            remedy=f"give words such as {', '.join(repr(known) for known in STRUCTURE_WORDS.values())}.",
        )
    return MASK_WORDINGS[wording].format(words=cleaned)


def absent_prompt(wording: int = 0) -> str:
    """Return the pre-prompt that says there is no mask, in one of three wordings."""
    return ABSENT_WORDINGS[wording]


def prompt_id(structure: Structure | None, wording: int = 0) -> str:
    """Return the name under which a pre-prompt's embedding is stored; None is the form without a mask."""
    return f"{structure or 'absent'}-{wording}"


def all_prompts() -> dict[str, str]:
    """Return every pre-prompt used in training by its id: each structure in five wordings, three without."""
    prompts = {
        prompt_id(structure, wording): mask_prompt(STRUCTURE_WORDS[structure], wording)
        for structure in STRUCTURES
        for wording in range(len(MASK_WORDINGS))
    }
    absent = {prompt_id(None, wording): absent_prompt(wording) for wording in range(len(ABSENT_WORDINGS))}
    return prompts | absent
