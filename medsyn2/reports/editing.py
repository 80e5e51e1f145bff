"""Edits of a report that follow an edit of a mask (section 5.2, Fig. 4), and reports that grow with masks (Fig. 5).

A report is edited sentence by sentence. A sentence *states* a finding if it names it, and *excludes* it if it names it
beside "no", "not" or "without"; an exclusion is true of an edited volume too, and stays. Sides are the words "left" and
"right". Of a sentence that states a finding on both sides, the part about one is cut: parts end at commas and at "and".
A sentence that states two findings loses both. Findings are the abnormalities that masks are of: no sentence states an
organ as a finding.
"""

import re
from collections.abc import Callable

from medsyn2.facts import Report
from medsyn2.vocabulary import SIDES, STRUCTURE_WORDS, Side, Structure

_WORDS: dict[Structure, str] = {
    "nodules": r"nodul\w+",
    "ground_glass": r"ground[- ]glass|ggos?\b",
    "consolidation": r"consolidat\w+",
    "pleural_effusion": r"(?<!pericardial )effusions?\b|pleural fluid",
    "pericardial_effusion": r"pericardial (?:effusions?|fluid)\b|pericardial and pleural effusions?",
}
"""Expressions that name a finding, in any case."""
FINDINGS: frozenset[Structure] = frozenset(_WORDS)
"""Structures that reports state as findings: a healthy patient has none of them."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_PART_END = re.compile(r"(,? and |, |; )")
_BOTH = re.compile(r"\b(bilateral|both)\b", re.IGNORECASE)
_MIRRORED = {"left": "right", "right": "left", "right middle lobe": "lingula", "lingula": "right middle lobe"}
_SIDED = re.compile(r"\b(right middle lobe|lingula|left|right)\b", re.IGNORECASE)
_PLACE_START = re.compile(r"(on|in|at)\b")
_PLACE_END = re.compile(r"\b(on|in|at)( the)? *$")


def keep_side(report: Report, structure: Structure, side: Side) -> Report:
    """Return the report without the finding on the other side."""
    return _edit(report, structure, lambda sentence: _keep_side(sentence, structure, side))


def mirror_report(report: Report, structure: Structure) -> Report:
    """Return the report with left and right exchanged in the sentences that state the finding."""
    return _edit(report, structure, lambda sentence: _SIDED.sub(_exchange, sentence))


def remove_finding(report: Report, structure: Structure) -> Report:
    """Return the report without the sentences that state the finding."""
    return _edit(report, structure, lambda sentence: None)


def add_finding(report: Report, structure: Structure, source: Report | None) -> Report:
    """Return a report that no longer excludes the finding, and states it as `source` does, or else by its name.

    An organ is no finding, and adds nothing.
    """
    if structure not in FINDINGS:
        return report
    findings, impression = (
        [one for one in _sentences(text) if not _names(one, structure)] for text in (report.findings, report.impression)
    )
    said = Report() if source is None else source
    stated = [one for one in _sentences(said.findings) if _states(one, structure)]
    findings += stated or [f"{STRUCTURE_WORDS[structure].capitalize()}."]
    impression += [one for one in _sentences(said.impression) if _states(one, structure)]
    return Report(_join(findings), _join(impression))


def _edit(report: Report, structure: Structure, change: Callable[[str], str | None]) -> Report:
    """Change the sentences of both parts that state a finding; None leaves a sentence out."""

    def edit(text: str | None) -> str | None:
        return _join([found for one in _sentences(text) if (found := change(one) if _states(one, structure) else one)])

    return Report(edit(report.findings), edit(report.impression))


def _sentences(text: str | None) -> list[str]:
    return [one for one in _SENTENCE_END.split(text or "") if one]


def _join(sentences: list[str]) -> str | None:
    return " ".join(sentences) or None


def _names(text: str, structure: Structure) -> bool:
    return structure in FINDINGS and re.search(_WORDS[structure], text, re.IGNORECASE) is not None


def _states(sentence: str, structure: Structure) -> bool:
    if not _names(sentence, structure):
        return False
    named = f"(?:{_WORDS[structure]})"
    excluded = rf"\b(?:no|not|without|absence of)\b.*{named}|{named}.*\b(?:is|are|was|were) not\b"
    return re.search(excluded, sentence, re.IGNORECASE) is None


def _keep_side(sentence: str, structure: Structure, side: Side) -> str | None:
    other = next(name for name in SIDES if name != side)
    sentence = _BOTH.sub(lambda match: _as_capital(side, match[0]), sentence)
    if not _has_side(sentence, other):
        return sentence
    if not _has_side(sentence, side):
        return None
    end = sentence[-1] if sentence[-1] in ".!?" else ""
    texts = _PART_END.split(sentence.removesuffix(end))
    parts = list(zip(texts[::2], [*texts[1::2], ""], strict=True))
    kept = [(text, after) for text, after in parts if _has_side(text, side) or not _has_side(text, other)]
    result = "".join(text + after for text, after in kept[:-1]) + kept[-1][0]
    if not any(_names(text, structure) for text, _ in kept):
        result = _with_finding(result, next(text for text, _ in parts if _names(text, structure)), structure, other)
    return result[:1].upper() + result[1:] + end


def _with_finding(kept: str, part: str, structure: Structure, other: Side) -> str:
    """Return the words of the kept side with those of the other side's part that name the finding."""
    before, after = re.split(rf"\b{other}\b(?:-sided)?", part, maxsplit=1, flags=re.IGNORECASE)
    if not _names(before, structure):
        return f"{kept}{after}"
    before = _PLACE_END.sub("", before) if _PLACE_START.match(kept) else before
    return f"{before.rstrip()} {kept}"


def _has_side(text: str, side: Side) -> bool:
    return re.search(rf"\b{side}\b", text, re.IGNORECASE) is not None


def _exchange(match: re.Match[str]) -> str:
    return _as_capital(_MIRRORED[match[0].lower()], match[0])


def _as_capital(word: str, like: str) -> str:
    """Return a word with a capital if the word in its place had one."""
    return word.capitalize() if like[0].isupper() else word
