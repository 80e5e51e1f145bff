"""The report of a phantom: findings and impression that are true of its voxels.

Sentences are drawn from equivalent wordings, so that reports differ and each is true: every lesion is named with its
side (and with lobe and size where a radiologist would give them), and every finding that a sentence excludes is
absent. Such a sentence opens with "No" or contains "not" or "without".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from medsyn2.phantoms.anatomy import CARDIOMEGALY_RATIO, SIDES, Side
from medsyn2.phantoms.central import lobar_side
from medsyn2.phantoms.lesions import Nodule, Opacity, PleuralEffusion
from medsyn2.phantoms.subject import Subject
from medsyn2.vocabulary import ABNORMALITY_LABELS, LOBES

LOBE_WORDS = {label: f"{name.replace('_', ' ')} lobe" for label, name in LOBES.items()}

WORDINGS: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("wordings.yaml").read_text("utf-8"))
"""Equivalent sentences by topic."""


@dataclass(frozen=True)
class Report:
    """A radiology report in CT-RATE's two parts."""

    findings: str
    impression: str


def labels_of(subject: Subject) -> dict[str, int]:
    """Return CT-RATE's 18 labels, 1 where the abnormality is present."""
    lesions, incidental = subject.lesions, subject.incidental
    present = {
        "Medical material": incidental.catheter,
        "Arterial wall calcification": incidental.aortic_calcification,
        "Cardiomegaly": subject.anatomy.cardiothoracic_ratio > CARDIOMEGALY_RATIO,
        "Pericardial effusion": lesions.pericardial is not None,
        "Coronary artery wall calcification": incidental.coronary_calcification,
        "Emphysema": incidental.emphysema,
        "Atelectasis": any(effusion.atelectasis_mm > 0 for effusion in lesions.pleural),
        "Lung nodule": bool(lesions.nodules),
        "Lung opacity": bool(lesions.opacities_of("ground_glass")),
        "Pleural effusion": bool(lesions.pleural),
        "Consolidation": bool(lesions.opacities_of("consolidation")),
    }
    return {label: int(present.get(label, False)) for label in ABNORMALITY_LABELS}


def describe(subject: Subject, rng: np.random.Generator) -> Report:
    """Write the report of a subject; `rng` draws the wordings."""
    findings = [
        _say(rng, "airways"),
        *_heart_sentences(subject, rng),
        *_mediastinal_sentences(subject, rng),
        *_pleural_sentences(subject, rng),
        *_lung_sentences(subject, rng),
        _say(rng, "abdomen"),
        _say(rng, "bones"),
    ]
    return Report(" ".join(findings), " ".join(_impression(subject, rng)))


def _effusion_size(volume_ml: float) -> str:
    """Grade a pleural effusion by its volume."""
    return "small" if volume_ml < 375 else "moderate" if volume_ml < 925 else "large"


def _say(rng: np.random.Generator, topic: str, **values: str | float) -> str:
    """Draw a wording of a topic and fill it."""
    wordings = WORDINGS[topic]
    capitals = {name.capitalize(): _capitalize(word) for name, word in values.items() if isinstance(word, str)}
    return wordings[int(rng.integers(len(wordings)))].format(**values, **capitals)


def _capitalize(text: str) -> str:
    return text[0].upper() + text[1:]


def _enumerate(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _heart_sentences(subject: Subject, rng: np.random.Generator) -> list[str]:
    ratio, pericardial = subject.anatomy.cardiothoracic_ratio, subject.lesions.pericardial
    heart = _say(rng, "cardiomegaly" if ratio > CARDIOMEGALY_RATIO else "normal heart", ratio=ratio)
    if pericardial is None:
        return [heart, _say(rng, "no pericardial effusion")]
    mm = pericardial.thickness_mm
    return [heart, _say(rng, "pericardial effusion", size=_pericardial_size(mm), mm=mm)]


def _pericardial_size(thickness_mm: float) -> str:
    return "small" if thickness_mm < 10 else "moderate" if thickness_mm < 16 else "large"


def _mediastinal_sentences(subject: Subject, rng: np.random.Generator) -> list[str]:
    incidental = subject.incidental
    present = {
        "no lymphadenopathy": True,
        "aortic calcification": incidental.aortic_calcification,
        "coronary calcification": incidental.coronary_calcification,
        "catheter": incidental.catheter,
    }
    return [_say(rng, topic) for topic, is_present in present.items() if is_present]


def _pleural_sentences(subject: Subject, rng: np.random.Generator) -> list[str]:
    effusions = {effusion.side: effusion for effusion in subject.lesions.pleural}
    if not effusions:
        return [_say(rng, "no pleural effusion")]
    sentences = [_effusion_sentence(effusions, rng)]
    if len(effusions) == 1:
        sentences += [_say(rng, "no effusion of a side", side=side) for side in SIDES if side not in effusions]
    compressed = [side for side in SIDES if side in effusions and effusions[side].atelectasis_mm > 0]
    return sentences + [_say(rng, "atelectasis", side=side) for side in compressed]


def _effusion_sentence(effusions: dict[Side, PleuralEffusion], rng: np.random.Generator) -> str:
    sizes = {side: _effusion_size(effusion.volume_ml) for side, effusion in effusions.items()}
    if len(effusions) == 1:
        ((side, size),) = sizes.items()
        return _say(rng, "pleural effusion", size=size, side=side, ml=effusions[side].volume_ml)
    if sizes["right"] == sizes["left"]:
        return _say(rng, "equal effusions", size=sizes["right"])
    return _say(rng, "unequal effusions", right=sizes["right"], left=sizes["left"])


def _lung_sentences(subject: Subject, rng: np.random.Generator) -> list[str]:
    lesions, emphysema = subject.lesions, subject.incidental.emphysema
    glass, solid = lesions.opacities_of("ground_glass"), lesions.opacities_of("consolidation")
    sentences = [_say(rng, "emphysema")] if emphysema else []
    sentences += _opacity_sentences(glass, rng, "ground-glass opacity", "ground-glass opacities")
    sentences += _opacity_sentences(solid, rng, "consolidation", "consolidations")
    sentences += _nodule_sentences(lesions.nodules, rng)
    if not sentences:
        return [_say(rng, "clear lungs")]
    if not (glass or solid):
        sentences.append(_say(rng, "no opacity"))
    if not lesions.nodules:
        sentences.append(_say(rng, "no nodule"))
    return sentences


def _opacity_sentences(opacities: Sequence[Opacity], rng: np.random.Generator, singular: str, plural: str) -> list[str]:
    sentences: list[str] = []
    for lobe, name in LOBE_WORDS.items():
        extents_mm = [opacity.extent_mm for opacity in opacities if opacity.lobe == lobe]
        if extents_mm:
            topic = "opacity" if len(extents_mm) == 1 else "opacities"
            mm = round(max(extents_mm) / 5) * 5
            sentences.append(_say(rng, topic, kind=singular, kinds=plural, lobe=name, mm=mm))
    return sentences


def _nodule_sentences(nodules: Sequence[Nodule], rng: np.random.Generator) -> list[str]:
    sentences: list[str] = []
    for nodule in sorted(nodules, key=lambda nodule: -nodule.diameter_mm):
        kind = "calcified nodule" if nodule.calcified else "solid nodule"
        sentences.append(_say(rng, "nodule", kind=kind, lobe=LOBE_WORDS[nodule.lobe], mm=nodule.diameter_mm))
    return sentences


def _impression(subject: Subject, rng: np.random.Generator) -> list[str]:
    lesions, labels = subject.lesions, labels_of(subject)
    lines: list[str] = []
    if lesions.pleural:
        lines.append(_effusion_summary(lesions.pleural))
    if lesions.pericardial:
        size = _pericardial_size(lesions.pericardial.thickness_mm)
        lines.append(f"{_capitalize(size)} pericardial effusion.")
    for kind, word in (("consolidation", "consolidation"), ("ground_glass", "ground-glass opacity")):
        lobes = [opacity.lobe for opacity in lesions.opacities_of(kind)]
        if lobes:
            lines.append(f"{_capitalize(word)} in the {_places(lobes)}.")
    if lesions.nodules:
        word = "nodule" if len(lesions.nodules) == 1 else "nodules"
        lines.append(f"Pulmonary {word} in the {_places([nodule.lobe for nodule in lesions.nodules])}.")
    plain = {
        "Cardiomegaly": "Cardiomegaly.",
        "Emphysema": "Emphysema.",
        "Atelectasis": "Compressive atelectasis.",
        "Arterial wall calcification": "Aortic atherosclerosis.",
        "Coronary artery wall calcification": "Coronary artery calcification.",
        "Medical material": "Central venous catheter in place.",
    }
    lines += [text for label, text in plain.items() if labels[label]]
    return lines or [_say(rng, "normal")]


def _effusion_summary(effusions: Sequence[PleuralEffusion]) -> str:
    if len(effusions) == 2:
        return "Bilateral pleural effusions."
    return f"{_capitalize(_effusion_size(effusions[0].volume_ml))} {effusions[0].side} pleural effusion."


def _places(lobes: Sequence[int]) -> str:
    distinct = sorted(set(lobes))
    for side in SIDES:
        if len(distinct) > 1 and distinct == sorted(lobe for lobe in LOBES if lobar_side(lobe) == side):
            return f"{side} lung"
    return _enumerate([LOBE_WORDS[lobe] for lobe in distinct])
