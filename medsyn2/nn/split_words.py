"""Texts in another language than the text encoder's, told by their tokens.

WordPiece has a token for each frequent word of its texts and spells the others in pieces, so that no text is refused: a
report in Turkish is encoded too, as letters without a meaning. Most of its words are in pieces then, and few of a
report in the language of the vocabulary.
"""

from collections.abc import Sequence

_MANY_SPLIT = 0.5
"""Share of a text's words from which it seems to be of another language: at most 0.38 of real English reports, with a
vocabulary of 600 pieces from other reports, 0.23 with 1024; 0.58 and more of Turkish, German and Spanish ones."""
_FEW_WORDS = 5
"""Words below which the share says nothing."""


def note_split_words(tokens: Sequence[str], unknown: str) -> tuple[str, ...]:
    """Return a note if most words of a text are unknown or in pieces."""
    words, split = count_split_words(tokens, unknown)
    if words < _FEW_WORDS or split <= _MANY_SPLIT * words:
        return ()
    return (f"{split} of {words} words are not in the text encoder's vocabulary as such: another language?",)


def count_split_words(tokens: Sequence[str], unknown: str) -> tuple[int, int]:
    """Return the number of words that begin with a letter, and of those that are unknown or in pieces."""
    words: list[list[str]] = []
    for token in tokens:
        if token.startswith("##") and words:
            words[-1].append(token)
        else:
            words.append([token])
    spelt = [word for word in words if word[0] == unknown or word[0][:1].isalpha()]
    return len(spelt), sum(len(word) > 1 or word[0] == unknown for word in spelt)
