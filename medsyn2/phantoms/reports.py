"""The report of a phantom: findings and impression that are true of its voxels.

Sentences are drawn from equivalent wordings, so that reports differ and each is true: every lesion is named with its
side (and with lobe and size where a radiologist would give them), and every finding that a sentence excludes is
absent. Such a sentence opens with "No" or contains "not" or "without".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsyn2.phantoms.anatomy import CARDIOMEGALY_RATIO, SIDES, Side
from medsyn2.phantoms.central import lobar_side
from medsyn2.phantoms.lesions import Nodule, Opacity, PleuralEffusion
from medsyn2.phantoms.subject import Subject
from medsyn2.vocabulary import ABNORMALITY_LABELS, LOBES

LOBE_WORDS = {label: f"{name.replace('_', ' ')} lobe" for label, name in LOBES.items()}


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
        *_airway_sentences(rng),
        *_heart_sentences(subject, rng),
        *_mediastinal_sentences(subject, rng),
        *_pleural_sentences(subject, rng),
        *_lung_sentences(subject, rng),
        *_remaining_sentences(rng),
    ]
    return Report(" ".join(findings), " ".join(_impression(subject, rng)))


def _one(rng: np.random.Generator, *wordings: str) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _enumerate(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _airway_sentences(rng: np.random.Generator) -> list[str]:
    return [
        _one(
            rng,
            "Trachea and both main bronchi are open.",
            "The trachea and main bronchi are patent.",
            "Trachea is in the midline and both main bronchi are open.",
            "Central airways are patent. No occlusive pathology is seen in the trachea.",
        )
    ]


def _heart_sentences(subject: Subject, rng: np.random.Generator) -> list[str]:
    ratio = f"{subject.anatomy.cardiothoracic_ratio:.2f}"
    if subject.anatomy.cardiothoracic_ratio > CARDIOMEGALY_RATIO:
        heart = _one(
            rng,
            "The heart is enlarged.",
            "Heart size is increased, consistent with cardiomegaly.",
            f"There is cardiomegaly with a cardiothoracic ratio of about {ratio}.",
        )
    else:
        heart = _one(
            rng, "Heart size is normal.", "Heart contour and size are normal.", "The heart is of normal size."
        )
    pericardial = subject.lesions.pericardial
    if pericardial is None:
        fluid = _one(
            rng,
            "No pericardial effusion.",
            "Pericardial effusion is not observed.",
            "No pericardial effusion or thickening is seen.",
        )
        return [heart, fluid]
    mm = f"{pericardial.thickness_mm:.0f} mm"
    word = _pericardial_size(pericardial.thickness_mm)
    fluid = _one(
        rng,
        f"There is a {word} pericardial effusion measuring {mm} in thickness.",
        f"A {word} pericardial effusion of {mm} surrounds the heart.",
        f"Pericardial effusion is present, {mm} thick ({word}).",
    )
    return [heart, fluid]


def _pericardial_size(thickness_mm: float) -> str:
    return "small" if thickness_mm < 10 else "moderate" if thickness_mm < 16 else "large"


def _mediastinal_sentences(subject: Subject, rng: np.random.Generator) -> list[str]:
    incidental = subject.incidental
    sentences = [
        _one(
            rng,
            "No enlarged mediastinal or hilar lymph nodes.",
            "Lymph nodes of pathological size are not detected in the mediastinum.",
            "No pathologically enlarged lymph node is seen in the mediastinum or the hila.",
        )
    ]
    if incidental.aortic_calcification:
        sentences.append(
            _one(
                rng,
                "Calcified atheroma plaques are seen in the wall of the aorta.",
                "There are atherosclerotic wall calcifications of the thoracic aorta.",
            )
        )
    if incidental.coronary_calcification:
        sentences.append(
            _one(
                rng,
                "Calcification is seen in the left anterior descending coronary artery.",
                "There is coronary artery wall calcification.",
            )
        )
    if incidental.catheter:
        sentences.append(
            _one(
                rng,
                "A right subclavian central venous catheter is seen with its tip in the superior vena cava.",
                "Right subclavian central venous catheter ends in the superior vena cava.",
            )
        )
    return sentences


def effusion_size(volume_ml: float) -> str:
    """Grade a pleural effusion by its volume."""
    return "small" if volume_ml < 375 else "moderate" if volume_ml < 925 else "large"


def _pleural_sentences(subject: Subject, rng: np.random.Generator) -> list[str]:
    effusions = {effusion.side: effusion for effusion in subject.lesions.pleural}
    if not effusions:
        return [
            _one(
                rng,
                "No pleural effusion.",
                "No pleural effusion or pneumothorax is seen.",
                "Pleural effusion is not detected on either side.",
                "No effusion in the pleural spaces.",
            )
        ]
    sentences = [_effusions(effusions, rng)]
    if len(effusions) == 1:
        absent = SIDES[1 - SIDES.index(next(iter(effusions)))]
        sentences.append(_one(rng, f"No {absent} pleural effusion.", f"No effusion on the {absent} side."))
    compressed = [side for side in SIDES if side in effusions and effusions[side].atelectasis_mm > 0]
    sentences += [
        _one(
            rng,
            f"Compressive atelectasis of the adjacent {side} lower lobe.",
            f"There is passive atelectasis in the {side} lower lobe next to the effusion.",
        )
        for side in compressed
    ]
    return sentences


def _effusions(effusions: dict[Side, PleuralEffusion], rng: np.random.Generator) -> str:
    words = {side: effusion_size(effusion.volume_ml) for side, effusion in effusions.items()}
    if len(effusions) == 2:
        right, left = words["right"], words["left"]
        if right == left:
            return _one(
                rng,
                f"There are bilateral {right} pleural effusions.",
                f"{_capital(right)} pleural effusions are present on the right and on the left.",
            )
        return _one(
            rng,
            f"Bilateral pleural effusions, {right} on the right and {left} on the left.",
            f"There is a {right} right and a {left} left pleural effusion.",
        )
    (side,) = effusions
    ml = f"{effusions[side].volume_ml:.0f} ml"
    return _one(
        rng,
        f"There is a {words[side]} {side} pleural effusion.",
        f"{_capital(words[side])} {side}-sided pleural effusion, estimated at {ml}.",
        f"A {words[side]} pleural effusion is seen on the {side} side.",
        f"Free pleural effusion of {words[side]} amount is observed on the {side}.",
    )


def _lung_sentences(subject: Subject, rng: np.random.Generator) -> list[str]:
    lesions = subject.lesions
    glass, solid = lesions.opacities_of("ground_glass"), lesions.opacities_of("consolidation")
    sentences: list[str] = []
    if subject.incidental.emphysema:
        sentences.append(
            _one(
                rng,
                "Centrilobular emphysema is seen in both upper lobes.",
                "Emphysematous changes are present in the upper lobes of both lungs.",
            )
        )
    sentences += _opacity_sentences(glass, rng, "ground-glass opacity", "ground-glass opacities")
    sentences += _opacity_sentences(solid, rng, "consolidation", "consolidations")
    sentences += _nodule_sentences(lesions.nodules, rng)
    if not (glass or solid or lesions.nodules or subject.incidental.emphysema):
        sentences.append(
            _one(
                rng,
                "Aeration of both lungs is normal. No nodule or infiltrate is seen.",
                "No nodular or infiltrative lesion is detected in the lung parenchyma.",
                "Both lungs are clear. No nodule, ground-glass opacity or consolidation.",
            )
        )
        return sentences
    if not (glass or solid):
        sentences.append(_one(rng, "No consolidation or ground-glass opacity.", "No infiltration is seen."))
    if not lesions.nodules:
        sentences.append(_one(rng, "No pulmonary nodule.", "Pulmonary nodules are not detected."))
    return sentences


def _opacity_sentences(
    opacities: Sequence[Opacity], rng: np.random.Generator, singular: str, plural: str
) -> list[str]:
    sentences: list[str] = []
    for lobe, name in LOBE_WORDS.items():
        own = [opacity for opacity in opacities if opacity.lobe == lobe]
        if not own:
            continue
        extent = f"{round(max(opacity.extent_mm for opacity in own) / 5) * 5:.0f} mm"
        if len(own) > 1:
            sentences.append(
                _one(
                    rng,
                    f"Areas of {singular} in the {name}, the largest about {extent}.",
                    f"Multiple {plural} are seen in the {name}, up to about {extent} across.",
                )
            )
            continue
        sentences.append(
            _one(
                rng,
                f"There is an area of {singular} in the {name}, about {extent} across.",
                f"{_capital(singular)} of about {extent} is observed in the {name}.",
                f"The {name} shows {singular} with an extent of approximately {extent}.",
            )
        )
    return sentences


def _nodule_sentences(nodules: Sequence[Nodule], rng: np.random.Generator) -> list[str]:
    sentences: list[str] = []
    for nodule in sorted(nodules, key=lambda nodule: -nodule.diameter_mm):
        word = "calcified nodule" if nodule.calcified else "solid nodule"
        place, mm = LOBE_WORDS[nodule.lobe], f"{nodule.diameter_mm:.0f} mm"
        sentences.append(
            _one(
                rng,
                f"A {mm} {word} is seen in the {place}.",
                f"There is a {word} measuring {mm} in diameter in the {place}.",
                f"{_capital(word)} in the {place}, {mm}.",
            )
        )
    return sentences


def _remaining_sentences(rng: np.random.Generator) -> list[str]:
    abdomen = _one(
        rng,
        "Upper abdominal organs included in the sections are normal.",
        "No space-occupying lesion is seen in the visualized liver and spleen.",
        "The imaged upper abdomen is unremarkable.",
    )
    bones = _one(
        rng,
        "Bone structures in the study area are natural.",
        "No lytic or destructive bone lesion is detected.",
        "Vertebral body heights are preserved.",
    )
    return [abdomen, bones]


def _impression(subject: Subject, rng: np.random.Generator) -> list[str]:
    lesions, labels = subject.lesions, labels_of(subject)
    lines: list[str] = []
    if lesions.pleural:
        lines.append(_effusion_summary(lesions.pleural))
    if lesions.pericardial:
        lines.append(f"{_capital(_pericardial_size(lesions.pericardial.thickness_mm))} pericardial effusion.")
    for kind, word in (("consolidation", "consolidation"), ("ground_glass", "ground-glass opacity")):
        places = [opacity.lobe for opacity in lesions.opacities_of(kind)]
        if places:
            lines.append(f"{_capital(word)} in the {_places(places)}.")
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
    if not lines:
        return [
            _one(
                rng,
                "Thoracic CT examination within normal limits.",
                "No acute cardiopulmonary abnormality.",
                "Normal chest CT.",
            )
        ]
    return lines


def _effusion_summary(effusions: Sequence[PleuralEffusion]) -> str:
    if len(effusions) == 2:
        return "Bilateral pleural effusions."
    return f"{_capital(effusion_size(effusions[0].volume_ml))} {effusions[0].side} pleural effusion."


def _places(lobes: Sequence[int]) -> str:
    chosen = sorted(set(lobes))
    for side in SIDES:
        if len(chosen) > 1 and chosen == sorted(lobe for lobe in LOBES if lobar_side(lobe) == side):
            return f"{side} lung"
    return _enumerate([LOBE_WORDS[lobe] for lobe in chosen])
