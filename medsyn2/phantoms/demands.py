"""Lesions that a report asks for, read back from its sentences: the inverse of ``reports.py``.

The phantoms' own wordings are understood whole: kind, side, lobe and size of each lesion. Of other reports, sentences
that name a finding with a side, a lobe or a size in mm, cm or ml are understood as far as that goes; a size that is not
given is that of a common lesion. The impression repeats the findings and is not read.
"""

import re
from collections.abc import Iterator

from medsyn2.phantoms.anatomy import SIDES, Side
from medsyn2.phantoms.lesions import Abnormality, Demand
from medsyn2.phantoms.reports import LOBE_WORDS
from medsyn2.reports.editing import split_sentences, states_finding

_SEPARATOR = "[SEP]"
"""Between findings and impression in the text of a report."""
_KINDS: tuple[Abnormality, ...] = (
    "pericardial_effusion",
    "pleural_effusion",
    "consolidation",
    "ground_glass",
    "nodules",
)
_COMMON: dict[Abnormality, float] = {
    "nodules": 12.0,
    "ground_glass": 45.0,
    "consolidation": 50.0,
    "pericardial_effusion": 12.0,
    "pleural_effusion": 650.0,
}
"""The size of a lesion without one, in the units of `Demand`: the middle of the embedded cohort's."""
_GRADES: dict[str, dict[str, float]] = {
    "pleural_effusion": {"small": 200.0, "moderate": 650.0, "large": 1100.0},
    "pericardial_effusion": {"small": 8.0, "moderate": 13.0, "large": 18.0},
}
"""Sizes that reports give such words for (`reports.py`)."""
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*-?\s*(mm|cm|ml)\b", re.IGNORECASE)
_GRADE = re.compile(r"\b(small|moderate|large)\b", re.IGNORECASE)


def read_demands(report: str) -> tuple[Demand, ...]:
    """Return the lesions that a report states, in the order of its sentences."""
    findings = report.split(_SEPARATOR)[0]
    found = [demand for sentence in split_sentences(findings) for demand in _demands(sentence)]
    return tuple(dict.fromkeys(found))


def _demands(sentence: str) -> Iterator[Demand]:
    kind = next((kind for kind in _KINDS if states_finding(sentence, kind)), None)
    if kind == "pericardial_effusion":
        yield Demand(kind, None, None, _size(sentence, kind))
    elif kind == "pleural_effusion":
        yield from _effusions(sentence)
    elif kind is not None:
        lobe = next((lobe for lobe, name in LOBE_WORDS.items() if name in sentence.lower()), None)
        side = None if lobe is not None else next(iter(_sides(sentence)), None)
        yield Demand(kind, side, lobe, _size(sentence, kind))


def _effusions(sentence: str) -> Iterator[Demand]:
    both = re.search(r"\b(bilateral|both)\b", sentence, re.IGNORECASE) is not None
    named = _sides(sentence)
    for side in SIDES if both or not named else named:
        yield Demand("pleural_effusion", side, None, _effusion_ml(sentence, side))


def _effusion_ml(sentence: str, side: Side) -> float:
    """Return the size on a side: the volume that is given, or that of the last grade before the side's name."""
    place = re.search(rf"\b{side}\b", sentence, re.IGNORECASE)
    grades = [match for match in _GRADE.finditer(sentence) if place is None or match.start() < place.start()]
    if _LENGTH.search(sentence) or not grades:
        return _size(sentence, "pleural_effusion")
    return _GRADES["pleural_effusion"][grades[-1][1].lower()]


def _size(sentence: str, kind: Abnormality) -> float:
    length, grade = _LENGTH.search(sentence), _GRADE.search(sentence)
    units = {"ml": 1.0} if kind == "pleural_effusion" else {"mm": 1.0, "cm": 10.0}
    if length is not None and length[2].lower() in units:
        return float(length[1]) * units[length[2].lower()]
    if grade is not None and kind in _GRADES:
        return _GRADES[kind][grade[1].lower()]
    return _COMMON[kind]


def _sides(sentence: str) -> list[Side]:
    return [side for side in SIDES if re.search(rf"\b{side}\b", sentence, re.IGNORECASE)]
