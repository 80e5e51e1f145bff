r"""Composition of a radiology report's two parts into the text that is encoded.

The paper joins findings and impression by the text encoder's separator token (section 4.2). Tables write an absent
part as an empty cell, as "Not given.", or as spreadsheets and data frames write nothing; a text without a letter is
none either. A report without any part is no report, a condition of its own on which the model is trained too, and not
an empty text. Escapes that an export left (``_x000D_``, ``&lt;``, a written ``\n``) and UTF-8 that was read as
Windows-1252 are undone. Characters take their compatibility form (NFKC), so that a word has the same code points in
every table; control, byte-order and zero-width characters go, and white space is collapsed.
"""

import html
import re
import unicodedata

_ABSENT = frozenset(
    {"not given", "not available", "not applicable", "no report", "none", "nan", "nat", "na", "n/a", "n.a", "nil"}
    | {"null", "undefined", "missing", "<na>", "<null>", "(null)", "<none>", "\\n"}
)
"""Cells that stand for nothing, in lower case without a full stop at the end; ``\\N`` is MySQL's."""
_SPREADSHEET_ERROR = re.compile(r"#(n/?a|name\?|value!|ref!|null!|num!|div/0!|error!?|spill!|calc!)", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+")
_SEPARATOR = re.compile(r"\[SEP\]", re.IGNORECASE)
_OOXML = re.compile(r"_x([0-9a-fA-F]{4})_")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_BREAK = re.compile(r"\\r\\n|\\[nrt]|(?i:</?(?:br|p|div|li|ul)\s*/?>)")


def clean_text(text: str) -> str:
    """Return `text` in NFKC, with escapes undone, without invisible characters and with single spaces."""
    while (cleaner := _clean_once(text)) != text:  # escapes come twice: &amp;lt;
        text = cleaner
    return text


def _clean_once(text: str) -> str:
    plain = _SPACE.sub(" ", _undo_escapes(text))  # First, since line breaks are control characters, too.
    visible = "".join(letter for letter in plain if not unicodedata.category(letter).startswith("C"))
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", visible)).strip()


def _undo_escapes(text: str) -> str:
    text = _OOXML.sub(lambda match: chr(int(match[1], 16)), _restore_utf8(text))
    return _BREAK.sub(" ", _ENTITY.sub(lambda match: html.unescape(match[0]), text))


def _restore_utf8(text: str) -> str:
    """Return a text whose UTF-8 was read as Windows-1252 as it was meant, if all of it says so, else unchanged."""
    if text.isascii():
        return text
    try:
        return b"".join(_byte(letter) for letter in text).decode("utf-8")
    except ValueError:
        return text


def _byte(letter: str) -> bytes:
    """Return the byte that Windows-1252 reads as a letter; its five undefined ones are kept as control characters."""
    return letter.encode("latin-1" if letter < "\xa0" else "cp1252")


def text_or_none(text: str | None) -> str | None:
    """Return the cleaned `text`, or None if it has no letter or stands for nothing, such as "Not given." or "#N/A"."""
    cleaned = clean_text(text or "")
    word = cleaned.lower().rstrip(" .")
    is_none = word in _ABSENT or _SPREADSHEET_ERROR.fullmatch(word) or not any(map(str.isalpha, word))
    return None if is_none else cleaned


def compose_report(findings: str | None, impression: str | None, separator: str) -> str | None:
    """Join findings and impression by the text encoder's separator token, or return None if both are absent.

    Source: The paper, section 4.2: findings first, then the separator, then the impression.
    """
    parts = [part for part in (text_or_none(findings), text_or_none(impression)) if part is not None]
    return f" {separator} ".join(parts) or None


def words_of_report(report: str) -> tuple[str, ...]:
    """Return the words of a report, by which two reports are the same: of no case, without marks and separators."""
    text = _SEPARATOR.sub(" ", text_or_none(report) or "")
    return tuple(_WORD.findall(text.casefold()))
