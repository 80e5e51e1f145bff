"""The thresholds of the anatomy's judgement, tested on patients that they were not chosen with.

    python benchmarks/anatomy.py --real FOLDER

FOLDER holds CTs that lie as their headers say (``ct/*.nii.gz`` and ``native/*.nii.gz``). Each is judged whole, with a
part of its slices cut off at either end, and in a small field of view; and each of these turned upside down and back to
front. One patient after another is left out. On the others the threshold is chosen that finds most of what is turned
and refuses nothing that lies as it should, the middle one where several do; then the patient that was left out is
judged by it, and by the threshold of the package. The last table has the same for the whole range of thresholds.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from medsyn2.cohort.volumes import inspect_case
from medsyn2.ct.anatomy import judgement
from medsyn2.ct.anatomy.evidence import BACK, UP
from medsyn2.ct.anatomy.judgement import AS_GIVEN, collect, side_of
from medsyn2.ct.anatomy.view import ChestView, coarsen, view_chest
from medsyn2.ct.intensity import HU_RANGE
from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import CTVolume

THRESHOLDS = np.round(np.arange(0.0, 0.81, 0.02), 2)
CUTS = (0.2, 0.3, 0.4, 0.5, 0.6)
FIELD_MM = 260.0
KINDS = {"up": UP, "back": BACK}


@dataclass(frozen=True)
class Scores:
    """The evidence of a CT for one direction."""

    patient: str
    name: str  # Of the CT and its change
    kind: str  # The direction
    as_it_lies: dict[str, float]
    turned: dict[str, float]

    def judge(self, threshold: float) -> tuple[bool, bool]:
        """Return whether the CT is refused as it lies, and whether it is found when it is turned."""
        judgement.MIN_SCORE = threshold
        return tuple(side_of(scores, KINDS[self.kind]) < 0 for scores in (self.as_it_lies, self.turned))  # type: ignore[return-value]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    own = judgement.MIN_SCORE
    paths = [*sorted(options.real.glob("ct/*.nii.gz")), *sorted(options.real.glob("native/*.nii.gz"))]
    scores = [one for path in paths for one in measure(path)]
    print("| left out | chosen | refused as it lies | found when turned | the same at", own, "| |")
    print("|---|---|---|---|---|---|")
    for patient in dict.fromkeys(one.patient for one in scores):
        mine = [one for one in scores if one.patient == patient]
        chosen = choose([one for one in scores if one.patient != patient])
        print("|", " | ".join([patient, f"{chosen:g}", *count(mine, chosen), *count(mine, own)]), "|")
    print("\n| threshold | refused as it lies | found when turned |\n|---|---|---|")
    for threshold in THRESHOLDS[::2]:
        print("|", " | ".join([f"{threshold:g}", *count(scores, float(threshold))]), "|")
    for one in scores:
        if one.judge(own)[0]:
            print(f"refused at {own}: {one}")


def measure(path: Path) -> Iterator[Scores]:
    """Measure the evidence of a CT and of parts of it."""
    patient = path.name.removesuffix(".nii.gz").removesuffix("_native")
    inspect_case(path, None, "detect")  # is sound
    for change, volume in vary(read_ct(path)):
        view = view_chest(*coarsen(volume.hu.clip(*HU_RANGE), volume.spacing_mm))
        for kind, scores in (measure_view(view) if view is not None else {}).items():
            yield Scores(patient, f"{path.name} {change}", kind, *scores)


def vary(volume: CTVolume) -> Iterator[tuple[str, CTVolume]]:
    """Yield a CT whole, without a part of its slices, and in a small field of view."""
    yield "whole", volume
    slices = len(volume.hu)
    for share in CUTS:
        yield f"without the top {share:.0%}", CTVolume(volume.hu[: round((1 - share) * slices)], volume.affine_mm)
        yield f"without the lower {share:.0%}", CTVolume(volume.hu[round(share * slices) :], volume.affine_mm)
    box = [
        slice(max(round((size - FIELD_MM / own_mm) / 2), 0), round((size + FIELD_MM / own_mm) / 2))
        for size, own_mm in zip(volume.shape[1:], volume.spacing_mm[1:], strict=True)
    ]
    yield f"in a field of view of {FIELD_MM:g} mm", CTVolume(volume.hu[:, *box], volume.affine_mm)


def measure_view(view: ChestView) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    """Return the evidence for each direction, as the CT lies and turned over."""
    turn = partial(view.turn, AS_GIVEN)
    return {
        "up": (collect(UP, view), collect(UP, turn((True, False, False)))),
        "back": (collect(BACK, view), collect(BACK, turn((False, True, False)))),
    }


def choose(scores: list[Scores]) -> float:
    """Return the middle of the thresholds that refuse nothing and find most; of those that refuse least, if all do."""
    judged = np.array([[one.judge(float(threshold)) for one in scores] for threshold in THRESHOLDS])
    refused, found = judged.sum(axis=1).T
    best = (refused == refused.min()) & (found == found[refused == refused.min()].max())
    return float(np.median(THRESHOLDS[best]))


def count(scores: list[Scores], threshold: float) -> list[str]:
    """Count refusals and finds."""
    judged = [one.judge(threshold) for one in scores]
    return [f"{sum(column)} of {len(scores)}" for column in zip(*judged, strict=True)]


if __name__ == "__main__":
    main()
