"""The judgement of a chest's orientation and completeness.

A direction is clear if at least two pieces of evidence speak for one side and their mean says so too: disease, a cut
field of view or a wide heart may turn one of them, never most. Up and down, front and back and the order of the axes
are then certain enough to refuse a case. Left and right are not, because situs inversus exists and disease can move the
heart: a single mirrored CT gets a warning, and only a cohort of them is stopped (`stages.anatomy`).
"""

from collections.abc import Mapping
from dataclasses import replace

from medsyn2.ct.anatomy.axes import find_order
from medsyn2.ct.anatomy.completeness import is_repeated, left_share
from medsyn2.ct.anatomy.evidence import BACK, LEFT, UP, Evidence, cut_shares, is_cut
from medsyn2.ct.anatomy.view import ChestView, Order
from medsyn2.facts import AnatomyFacts, AnatomyFinding

MIN_SCORE = 0.3
"""Of a piece of evidence that speaks, and of the mean over all pieces, where absent ones count 0."""
AS_GIVEN: Order = (0, 1, 2)
ONE_LUNG = 0.1

NO_ANATOMY = AnatomyFacts(lung_ml=0.0, up={}, back={}, left={}, cut=(0.0, 0.0), left_share=0.5, findings=())
"""Of a CT in which no lungs are seen: nothing can be said."""


def judge_anatomy(view: ChestView | None) -> AnatomyFacts:
    """Judge the orientation and the completeness of a chest."""
    if view is None:
        return NO_ANATOMY
    lung_ml, order = round(view.lung_ml, 1), find_order(view)
    if order is not None and order != AS_GIVEN and _stands(view.turn(order)):
        return replace(NO_ANATOMY, lung_ml=lung_ml, findings=("axes-turned",))
    up = collect(UP, view)
    upright = view.turn(AS_GIVEN, (side_of(up, UP) < 0, False, False))
    back = collect(BACK, upright)
    facing = upright.turn(AS_GIVEN, (False, side_of(back, BACK) < 0, False))
    # The sides are those of the spine.
    left = collect(LEFT, facing) if "spine" in back else {}
    cut, share = cut_shares(facing), left_share(facing)
    found: dict[AnatomyFinding, bool] = {
        "upside-down": side_of(up, UP) < 0,
        "back-to-front": side_of(back, BACK) < 0,
        "mirrored": side_of(left, LEFT) < 0,
        "chest-repeated": is_repeated(facing),
        "lungs-cut": is_cut(facing),
        "one-lung": "spine" in back and not ONE_LUNG <= share <= 1 - ONE_LUNG,
    }
    findings = tuple(name for name, is_there in found.items() if is_there)
    return AnatomyFacts(lung_ml, up, back, left, cut, share, findings)


def collect(evidence: Mapping[str, Evidence], view: ChestView) -> dict[str, float]:
    """Return the scores of the pieces of evidence that the CT shows."""
    scores = {name: measure(view) for name, measure in evidence.items()}
    return {name: score for name, score in scores.items() if score is not None}


def side_of(scores: Mapping[str, float], pieces: Mapping[str, Evidence]) -> int:
    """Return 1 if the evidence clearly speaks for the header, -1 if against it, 0 if it is unclear.

    Args:
        scores: Of the pieces of evidence that the CT shows.
        pieces: All that there are for the direction.
    """
    side = leaning(scores, pieces)
    speaking = [score for score in scores.values() if score * side >= MIN_SCORE]
    return side if len(speaking) >= 2 else 0


def leaning(scores: Mapping[str, float], pieces: Mapping[str, Evidence]) -> int:
    """Return the side of the mean evidence, even if it is that of a single piece; 0 if it is small."""
    mean = sum(scores.values()) / len(pieces)
    return 0 if abs(mean) < MIN_SCORE else 1 if mean > 0 else -1


def _stands(view: ChestView) -> bool:
    """Return whether a view with its axes in another order shows the directions of a chest."""
    up = side_of(collect(UP, view), UP)
    upright = view.turn(AS_GIVEN, (up < 0, False, False))
    return up != 0 and side_of(collect(BACK, upright), BACK) != 0
