"""Composition of a radiology report's two parts into the text that is encoded.

The paper joins findings and impression by the text encoder's separator token (section 4.2). Tables write an absent
part as an empty cell or as "Not given.". A report without any part is no report, a condition of its own on which the
model is trained too, and not an empty text. Characters take their compatibility form (NFKC), so that a word has the
same code points in every table; control, byte-order and zero-width characters go, and white space is collapsed.
"""

import re
import unicodedata

_ABSENT = frozenset({"", "not given", "none", "nan", "n/a"})
_SPACE = re.compile(r"\s+")


def clean_text(text: str) -> str:
    """Return `text` in NFKC, without invisible characters and with single spaces."""
    spaced = _SPACE.sub(" ", text)  # First, since line breaks are control characters, too.
    visible = "".join(letter for letter in spaced if not unicodedata.category(letter).startswith("C"))
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", visible)).strip()


def text_or_none(text: str | None) -> str | None:
    """Return the cleaned `text`, or None if it is empty, "Not given.", "None", "n/a" or "nan"."""
    cleaned = clean_text(text or "")
    return None if cleaned.lower().rstrip(" .") in _ABSENT else cleaned


def compose_report(findings: str | None, impression: str | None, separator: str) -> str | None:
    """Join findings and impression by the text encoder's separator token, or return None if both are absent.

    Source: The paper, section 4.2: findings first, then the separator, then the impression.
    """
    parts = [part for part in (text_or_none(findings), text_or_none(impression)) if part is not None]
    return f" {separator} ".join(parts) or None
