"""The judgement of a chest's orientation and completeness, and the refusal of what is clearly wrong.

A direction is clear if at least two pieces of evidence speak for one side and their sum says so too: disease, a cut field
of view or a wide heart may turn one of them, never most. Up and down, front and back and the order of the axes are then
certain enough to refuse a case. Left and right are not, because situs inversus exists and disease can move the heart:
a single mirrored CT gets a warning, and only a cohort of them is stopped (`cohort.anatomy`).
"""

from collections.abc import Mapping

from medsyn2.ct.anatomy.axes import find_order
from medsyn2.ct.anatomy.completeness import cut_shares, is_repeated, left_share
from medsyn2.ct.anatomy.evidence import BACK, LEFT, UP, Evidence
from medsyn2.ct.anatomy.view import ChestView, Order
from medsyn2.errors import GeometryError, InvalidVolumeError
from medsyn2.facts import AnatomyFacts, AnatomyFinding

MIN_SCORE = 0.3
MIN_SUM = 1.0
AS_GIVEN: Order = (0, 1, 2)
CUT_BELOW, CUT_ABOVE = 0.6, 0.4
"""The base is cut above the domes from there on, the top below the aortic arch."""
ONE_LUNG = 0.1

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

NO_ANATOMY = AnatomyFacts(lung_ml=0.0, up={}, back={}, left={}, cut=(0.0, 0.0), left_share=0.5, findings=())
"""Of a CT in which no lungs are seen: nothing can be said."""


def judge_anatomy(view: ChestView | None) -> AnatomyFacts:
    """Judge the orientation and the completeness of a chest."""
    if view is None:
        return NO_ANATOMY
    order = find_order(view)
    if order is not None and order != AS_GIVEN and _stands(view.turn(order)):
        return _facts(view, ("turned",))
    findings: list[AnatomyFinding] = []
    up = collect(UP, view)
    if side_of(up) < 0:
        findings.append("upside-down")
    upright = view.turn(AS_GIVEN, (side_of(up) < 0, False, False))
    back = collect(BACK, upright)
    if side_of(back) < 0:
        findings.append("back-to-front")
    facing = upright.turn(AS_GIVEN, (False, side_of(back) < 0, False))
    left = collect(LEFT, facing)
    if side_of(left) < 0:
        findings.append("mirrored")
    return _facts(view, (*findings, *_gaps(view)), up, back, left)


def collect(evidence: Mapping[str, Evidence], view: ChestView) -> dict[str, float]:
    """Return the scores of the pieces of evidence that the CT shows."""
    scores = {name: measure(view) for name, measure in evidence.items()}
    return {name: score for name, score in scores.items() if score is not None}


def side_of(scores: Mapping[str, float]) -> int:
    """Return 1 if evidence clearly speaks for the header, -1 if against it, 0 if it is unclear."""
    total = sum(scores.values())
    side = 1 if total > 0 else -1
    speaking = [score for score in scores.values() if score * side >= MIN_SCORE]
    return side if abs(total) >= MIN_SUM and len(speaking) >= 2 else 0


def _stands(view: ChestView) -> bool:
    """Return whether a view with its axes in another order shows the directions of a chest."""
    up = side_of(collect(UP, view))
    upright = view.turn(AS_GIVEN, (up < 0, False, False))
    return up != 0 and side_of(collect(BACK, upright)) != 0


def _gaps(view: ChestView) -> tuple[AnatomyFinding, ...]:
    """Return the findings on a chest's completeness."""
    (below, above), left = cut_shares(view), left_share(view)
    found: dict[AnatomyFinding, bool] = {
        "repeated": is_repeated(view),
        "lungs-cut": below >= CUT_BELOW or above >= CUT_ABOVE,
        "one-lung": not ONE_LUNG <= left <= 1 - ONE_LUNG,
    }
    return tuple(name for name, is_there in found.items() if is_there)


def _facts(
    view: ChestView,
    findings: tuple[AnatomyFinding, ...],
    up: dict[str, float] | None = None,
    back: dict[str, float] | None = None,
    left: dict[str, float] | None = None,
) -> AnatomyFacts:
    return AnatomyFacts(
        lung_ml=round(view.lung_ml, 1),
        up=up or {},
        back=back or {},
        left=left or {},
        cut=cut_shares(view),
        left_share=left_share(view),
        findings=findings,
    )
