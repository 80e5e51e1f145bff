"""Something to start from: masks of phantoms, and sentences of their reports.

The list of masks needs only the phantoms' numbers, which a millisecond draws; a mask is painted and registered when
somebody takes it, which takes seconds. So the list says of lesions only the size that they were drawn with.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

from medsyn2.ct.mask_edits import keep_half
from medsyn2.ct.registration.reference import Reference
from medsyn2.ct.volume import Grid, LabelMap
from medsyn2.phantoms import draw_subject
from medsyn2.phantoms.anatomy import SIDES
from medsyn2.phantoms.central import lobar_side
from medsyn2.phantoms.reports import LOBE_WORDS, WORDINGS
from medsyn2.phantoms.shelf import SEED, report_of, take_masks
from medsyn2.phantoms.subject import Subject
from medsyn2.server.problems import JSON, missing
from medsyn2.vocabulary import ANATOMIES, STRUCTURE_WORDS, STRUCTURES, Side, Structure

PHANTOMS = 16
"""Of the shelf: among them are lesions of each kind on each side."""

_SIZES = ({"size": "small", "mm": 6, "ml": 200}, {"size": "moderate", "mm": 15, "ml": 650})
_KINDS = (
    {"kind": "solid nodule", "kinds": "solid nodules"},
    {"kind": "ground-glass opacity", "kinds": "ground-glass opacities"},
    {"kind": "consolidation", "kinds": "consolidations"},
)


def list_shelf() -> list[JSON]:
    """Return the masks that can be taken, anatomies of one phantom first."""
    return [_describe(subject, *one) for subject in _subjects() for one in _masks_of(subject)]


class Shelf:
    """The shelf for one model's grid; it keeps the masks of the phantoms that were taken last."""

    def __init__(self, reference: Reference, grid: Grid) -> None:
        self._take = lru_cache(maxsize=4)(lambda index: take_masks(draw_subject(SEED, index), reference, grid))

    def take(self, identifier: str) -> tuple[LabelMap, JSON]:
        """Return a mask and its entry in the list.

        Raises:
            Refusal: If there is none of this id, or it holds nothing on the grid.
        """
        entry = next((one for one in list_shelf() if one["id"] == identifier), None)
        mask = None if entry is None else self._take(entry["phantom"]).get(entry["structure"])
        if entry is None or mask is None:
            raise missing("mask of the shelf")
        inside = mask.binary() if entry["side"] is None else keep_half(mask.binary(), entry["side"])
        return LabelMap(inside, mask.affine_mm), entry


def list_examples() -> list[JSON]:
    """Return sentences to start from by the finding that they state, as the phantoms' reports word them."""
    return [{"finding": topic, "sentences": list(dict.fromkeys(_fill(topic)))} for topic in WORDINGS]


def _fill(topic: str) -> Iterator[str]:
    kinds = [one for one in _KINDS if (topic == "nodule") == ("nodule" in one["kind"])]
    for number, wording in enumerate(WORDINGS[topic]):
        side, size = SIDES[number % len(SIDES)], _SIZES[number % len(_SIZES)]
        lobe = list(LOBE_WORDS.values())[number % len(LOBE_WORDS)]
        values = {**size, **kinds[number % len(kinds)], "side": side, "lobe": lobe, "ratio": 0.55}
        values |= {"right": "small", "left": "moderate"}
        capitals = {key.capitalize(): word.capitalize() for key, word in values.items() if isinstance(word, str)}
        yield wording.format(**values, **capitals)


@lru_cache(maxsize=1)
def _subjects() -> tuple[Subject, ...]:
    return tuple(draw_subject(SEED, index) for index in range(PHANTOMS))


def _masks_of(subject: Subject) -> Iterator[tuple[Structure, Side | None, float | None]]:
    """Yield the structures of a phantom that are on the shelf, with a side and the volume in ml that was drawn."""
    if subject.index == 0:
        yield from ((name, None, None) for name in STRUCTURES if name in ANATOMIES)
    lesions = subject.lesions
    for side in SIDES:
        nodules = [one.diameter_mm for one in lesions.nodules if lobar_side(one.lobe) == side]
        opacities = [one for one in lesions.opacities if lobar_side(one.lobe) == side]
        sizes_ml: dict[Structure, list[float]] = {
            "nodules": [_ball_ml(diameter_mm) for diameter_mm in nodules],
            "ground_glass": [_ball_ml(one.extent_mm) for one in opacities if one.kind == "ground_glass"],
            "consolidation": [_ball_ml(one.extent_mm) for one in opacities if one.kind == "consolidation"],
            "pleural_effusion": [one.volume_ml for one in lesions.pleural if one.side == side],
        }
        yield from ((name, side, sum(found)) for name, found in sizes_ml.items() if found)
    if lesions.pericardial is not None:
        yield "pericardial_effusion", None, None


def _ball_ml(diameter_mm: float) -> float:
    return math.pi / 6 * diameter_mm**3 / 1000


def _describe(subject: Subject, structure: Structure, side: Side | None, volume_ml: float | None) -> JSON:
    number = 3 * STRUCTURES.index(structure) + (0 if side is None else 1 + SIDES.index(side))
    return {
        "id": f"{subject.index:08x}{number:08x}",
        "phantom": subject.index,
        "structure": structure,
        "words": STRUCTURE_WORDS[structure],
        "side": side,
        "volume_ml": None if volume_ml is None else round(volume_ml, 1),
        "place": report_of(subject) if structure not in ANATOMIES else "",
    }
