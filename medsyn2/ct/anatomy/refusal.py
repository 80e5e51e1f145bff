"""The findings on a chest in words, and the refusal of a CT that lies otherwise than its header says."""

from medsyn2.errors import GeometryError, InvalidVolumeError
from medsyn2.facts import AnatomyFacts

AGAINST: dict[str, dict[str, str]] = {
    "up": {
        "domes": "the lungs' tops and the diaphragm bulge downwards",
        "shoulders": "the shoulders lie beside the lungs' lower end",
        "liver": "the solid tissue lies over the lungs",
        "trachea": "the airway leaves at the lower end",
        "heart": "the heart lies in the upper half",
    },
    "back": {
        "spine": "the spine runs in front of the lungs' middle",
        "ribs": "ribs and shoulder blades lie in front",
        "recess": "the lungs reach lower in front than behind",
    },
    "left": {
        "heart": "the heart lies on the right",
        "liver": "the solid tissue lies under the left lung",
        "aorta": "the aorta descends on the right of the spine",
    },
}
"""Each piece of evidence where it speaks against the header, in words."""

_REMEDY = (
    "convert the series anew, or correct the header (its directions, not only its position). If the file is right and "
    "this patient is built otherwise, set inventory.orientation: trust."
)


def refuse_disorder(facts: AnatomyFacts, name: str) -> None:
    """Refuse a CT whose chest clearly lies otherwise than the header says, or lies in it twice.

    Raises:
        GeometryError: With the code ``axes-turned``, ``upside-down`` or ``back-to-front``.
        InvalidVolumeError: With the code ``chest-repeated``.
    """
    findings = facts.findings or ()
    if "axes-turned" in findings:
        raise GeometryError(
            f"{name}: expected the spine along the axis that the header calls the body's and the lungs beside each "
            "other, found the axes of the chest in another order.",
            code="axes-turned",
            remedy=f"the array was transposed under an unchanged header, or the chest lies on its side: {_REMEDY}",
        )
    codes = {"upside-down": "upside-down", "back-to-front": "back-to-front"}
    for finding, code in codes.items():
        if finding in findings:
            raise GeometryError(
                f"{name}: expected the chest to lie as the header says, found {describe(facts)}.",
                code=codes[code],
                remedy=f"the array was flipped under an unchanged header, or the reverse: {_REMEDY}",
            )
    if "chest-repeated" in findings:
        raise InvalidVolumeError(
            f"{name}: expected one chest, found lungs of one shape twice above each other.",
            code="chest-repeated",
            remedy="two series were stacked into one file; convert each into a file of its own.",
        )


def describe(facts: AnatomyFacts) -> str:
    """Return the directions that are exchanged, each with the evidence against the header."""
    exchanged = {
        "upside-down": ("up and down exchanged", "up", facts.up),
        "back-to-front": ("front and back exchanged", "back", facts.back),
        "mirrored": ("left and right exchanged", "left", facts.left),
    }
    return "; ".join(
        f"{words} ({', '.join(f'{AGAINST[kind][piece]} {score:+.1f}' for piece, score in scores.items() if score < 0)})"
        for finding, (words, kind, scores) in exchanged.items()
        if finding in (facts.findings or ())
    )


def warn(facts: AnatomyFacts) -> list[str]:
    """Return the findings in words, each a warning."""
    findings = facts.findings or ()
    exchanged = describe(facts)
    below, above = facts.cut
    words = {
        "axes-turned": "the axes of the chest come in another order than in the header",
        "chest-repeated": "lungs of one shape lie twice above each other",
        "lungs-cut": f"the lungs are cut: their section in the lowest and the highest slice is {below:.0%} and "
        f"{above:.0%} of the largest",
        "one-lung": f"one side has next to no aerated lung (the left one has {facts.left_share:.0%} of it)",
    }
    return [exchanged] * bool(exchanged) + [text for finding, text in words.items() if finding in findings]
