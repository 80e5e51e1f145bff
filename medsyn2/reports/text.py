"""From the two parts of a radiology report to the one text that is encoded.

The paper joins findings and impression by the text encoder's separator token (section 4.2). Real tables write
an absent part as an empty cell or as "Not given."; both mean that there is nothing, and a report without any
part is no report at all, which is a condition of its own (the model is trained without reports, too) and not
an empty text. Characters are brought to their compatibility form (NFKC), so that the same word has the same
code points whatever wrote the table; control characters, byte-order marks and zero-width characters go, and
any run of white space is one space.
"""

import re
import unicodedata

_ABSENT = frozenset({"", "not given", "none", "nan", "n/a"})
_SPACE = re.compile(r"\s+")


def clean_text(text: str) -> str:
    """Return `text` in NFKC, without invisible characters and with single spaces.

    A line or paragraph break counts as white space, any other control or format character is dropped.
    """
    spaced = _SPACE.sub(" ", text)
    visible = "".join(letter for letter in spaced if not unicodedata.category(letter).startswith("C"))
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", visible)).strip()


def text_or_none(text: str | None) -> str | None:
    """Return the cleaned `text`, or None where it says nothing: empty, "Not given.", "None", "n/a", "nan"."""
    cleaned = clean_text(text or "")
    return None if cleaned.lower().rstrip(" .") in _ABSENT else cleaned


def compose_report(findings: str | None, impression: str | None, separator: str) -> str | None:
    """Join findings and impression, or return None if neither says anything.

    Args:
        findings: What was seen; None or "Not given." if absent.
        impression: What it means; None or "Not given." if absent.
        separator: The text encoder's separator token, such as ``[SEP]``; only between two given parts.

    Source:
        The paper, section 4.2: findings first, then the separator, then the impression.
    """
    parts = [part for part in (text_or_none(findings), text_or_none(impression)) if part is not None]
    return f" {separator} ".join(parts) or None
