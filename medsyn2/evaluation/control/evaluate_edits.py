"""The stage ``evaluate_edits``: does a changed mask change the volume, and nothing else?"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from tqdm import tqdm

from medsyn2.config import EvaluateEditsConfig, EvaluateMasksConfig, InferenceConfig, SampleConfig, SegmentConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import SegmenterError
from medsyn2.evaluation.control.effects import (
    centroid_mm,
    change,
    displacement_ratio,
    laterality,
    mirror_mask,
    shift_mask,
)
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.segmentation import segment_again, tool_of, tools_again
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.evaluation.statistics.bootstrap import prepend_means
from medsyn2.files import write_bytes, write_table
from medsyn2.flow import Sampling
from medsyn2.page.strips import Picture, difference, strips_png
from medsyn2.pipeline import MedSyn2Pipeline, Synthetic
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure

log = logging.getLogger(__name__)

SEEDS_COLUMNS = [
    "structure", "case", "patient", "num_seeds", "dice_requested", "dice_between_seeds",
    "inside_hu", "outside_hu", "outside_over_inside", "segmenter",
]  # fmt: skip
EDITS_COLUMNS = [
    "structure", "case", "patient", "edit", "dice_requested", "dice_unedited", "centroid_error_mm",
    "centroid_error_unedited_mm", "asked_mm", "followed", "laterality_requested", "laterality_found", "segmenter",
]  # fmt: skip
PROGRESSIVE_COLUMNS = [
    "case", "patient", "step", "added", "strength", "inside_hu", "outside_hu", "outside_new_noise_hu",
    "outside_over_new_noise",
]  # fmt: skip
AVERAGED = {
    "seeds": ["dice_requested", "dice_between_seeds", "inside_hu", "outside_hu", "outside_over_inside"],
    "edits": EDITS_COLUMNS[EDITS_COLUMNS.index("dice_requested") : EDITS_COLUMNS.index("segmenter")],
    "progressive": PROGRESSIVE_COLUMNS[PROGRESSIVE_COLUMNS.index("inside_hu") :],
}
ON_BOTH_SIDES: frozenset[Structure] = frozenset({"lobes", "airways", "vessels"})
"""Structures that everybody has on the left and on the right, mirrored or not: their laterality says nothing."""

Mask = Bool[np.ndarray, "d h w"]
Strip = list[Picture]


@dataclass(frozen=True)
class Request:
    """A mask as the model gets it, and the region that a segmenter can find again: of lobes, the lungs."""

    structure: Structure
    given: LabelMap
    region: Mask

    def edits(self, by_mm: tuple[float, float, float]) -> Iterator[tuple[str, "Request"]]:
        """Return the request with both masks mirrored, and with both moved."""
        affine, spacing = self.given.affine_mm, self.given.spacing_mm
        given = self.given.binary()
        yield ("mirrored", Request(self.structure, LabelMap(mirror_mask(given), affine), mirror_mask(self.region)))
        shifted = LabelMap(shift_mask(given, by_mm, spacing), affine)
        yield "moved", Request(self.structure, shifted, shift_mask(self.region, by_mm, spacing))


def evaluate_edits(
    segment: SegmentConfig,
    sample: SampleConfig,
    sampling: Sampling,
    evaluate_masks: EvaluateMasksConfig,
    evaluate_edits: EvaluateEditsConfig,
    inference: InferenceConfig,
    *,
    model: Path,
    register: list[Path],
    masks: list[Path],
    seeds: Path,
    edits: Path,
    progressive: Path,
    seeds_figure: Path,
    edits_figure: Path,
    progressive_figure: Path,
) -> None:
    """Change the seed, the mask or the request, one at a time, and measure the changes of the volume.

    Seeds (Figs. 3, 6, 7): one mask, several noises; the requested structure should stay and the rest differ. Edits
    (Fig. 4): one noise, the mask mirrored or moved; the structure should move with it. Progressive synthesis (Fig. 5):
    a volume is taken back towards its own noise and solved again for one more mask; outside that mask it should change
    less than a volume from new noise differs. A held-out case takes part with the structures that it has.
    """
    found: dict[str, list[tuple[list[dict[str, object]], Strip]]] = {"seeds": [], "edits": [], "progressive": []}
    cases = sorted(load_cases(register, masks=masks), key=lambda case: case.name)
    pipeline = MedSyn2Pipeline.from_pretrained(model.parent, precision=inference.precision)
    editor = _Editor(sample.seed, sampling, pipeline)
    segment = tools_again(segment, evaluate_masks)
    for structure in evaluate_edits.structures:
        tool = tool_of(structure, segment)
        if tool is None:
            continue
        with closing(get_segmenter(tool, segment)) as finder:
            for case in tqdm(_having(cases, [structure], evaluate_edits), desc=f"edits {structure}", unit="case"):
                request = _request(case, structure)
                names = {"structure": structure, "case": case.name, "segmenter": finder.name}
                names["patient"] = case.subject
                try:
                    seeded = [editor.make(case.name, request, seed) for seed in range(evaluate_edits.num_seeds)]
                    again = [segment_again(one.volume, structure, finder) for one in seeded]
                    found["seeds"].append(_seeds(names, request, seeded, again))
                    requests = list(request.edits(evaluate_edits.move_mm))
                    edited = [(name, asked, editor.make(case.name, asked, 0)) for name, asked in requests]
                    found["edits"].append(_edits(names, request, (seeded[0], again[0]), edited, finder))
                except SegmenterError as error:
                    log.warning("%s of %s cannot be compared: %s", structure, case.name, error)
    for case in _having(cases, evaluate_edits.progressive, evaluate_edits):
        chain = [_request(case, structure) for structure in evaluate_edits.progressive]
        names = {"case": case.name, "patient": case.subject}
        found["progressive"].append(_progressive(names, chain, editor, evaluate_edits.strength))
    outputs = (
        (seeds, SEEDS_COLUMNS, ["structure", "num_seeds", "segmenter"], seeds_figure),
        (edits, EDITS_COLUMNS, ["structure", "edit", "segmenter"], edits_figure),
        (progressive, PROGRESSIVE_COLUMNS, ["step", "added", "strength"], progressive_figure),
    )
    for (name, parts), (table, columns, by, figure) in zip(found.items(), outputs, strict=True):
        frame = pd.DataFrame([row for rows, _ in parts for row in rows], columns=columns)
        means = prepend_means(frame, AVERAGED[name], by)
        write_table(table, means)
        contour = "mask that is added" if name == "progressive" else "mask asked for"
        png = strips_png([strip for _, strip in parts] or [[editor.nothing(name)]], contour)
        write_bytes(figure, png)


def _having(cases: Sequence[Case], structures: Iterable[Structure], config: EvaluateEditsConfig) -> list[Case]:
    """Return the first cases whose masks of all these structures are present."""
    wanted = set(structures)
    return [case for case in cases if wanted <= set(case.structures)][: config.max_cases]


def _request(case: Case, structure: Structure) -> Request:
    return Request(structure, case.mask(structure), case.region(structure).binary())


class _Editor:
    """Makes the volumes that are compared."""

    def __init__(self, seed: int, sampling: Sampling, pipeline: MedSyn2Pipeline) -> None:
        self.seed, self.sampling, self.pipeline = seed, sampling, pipeline

    def make(self, case: str, request: Request, seed: int) -> Synthetic:
        """Generate from a mask; a seed means the same noise for every request of the case."""
        words, noise = STRUCTURE_WORDS[request.structure], derive_seed(self.seed, case, f"edits {seed}")
        return self.pipeline(mask=request.given, mask_text=words, seed=noise, sampling=self.sampling)

    def add(self, before: Synthetic, request: Request, strength: float) -> Synthetic:
        """Take a volume back towards its own noise and solve again for another mask."""
        words = STRUCTURE_WORDS[request.structure]
        return self.pipeline.edit(
            before, mask=request.given, mask_text=words, strength=strength, sampling=self.sampling
        )

    def nothing(self, name: str) -> Picture:
        """Return the picture of a figure that no case takes part in."""
        grid = self.pipeline.grid
        return Picture(CTVolume(np.full(grid.shape, -1024, np.int16), grid.affine_mm), f"{name}: no such case")


def _of(names: Mapping[str, object], request: Request) -> str:
    """Return the first line of a title."""
    return f"{names['case']}, {STRUCTURE_WORDS[request.structure]}\n"


def _seeds(
    names: Mapping[str, object], request: Request, made: Sequence[Synthetic], found: Sequence[Mask]
) -> tuple[list[dict[str, object]], Strip]:
    """Compare volumes of one mask and several noises, each with each."""
    changes = [change(a.volume.hu, b.volume.hu, request.region) for a, b in combinations(made, 2)]
    inside, outside = (float(np.mean([getattr(one, side) for one in changes])) for side in ("inside_hu", "outside_hu"))
    row = {
        **names,
        "num_seeds": len(made),
        "dice_requested": np.mean([dice(one, request.region) for one in found]),
        "dice_between_seeds": np.mean([dice(a, b) for a, b in combinations(found, 2)]),
        "inside_hu": inside,
        "outside_hu": outside,
        "outside_over_inside": outside / inside if inside else np.nan,
    }
    strip = [
        Picture(one.volume, f"{_of(names, request)}SYNTHETIC, seed {index + 1}", request.region)
        for index, one in enumerate(made)
    ]
    return [row], strip


def _edits(
    names: Mapping[str, object],
    request: Request,
    unedited: tuple[Synthetic, Mask],
    edited: Sequence[tuple[str, Request, Synthetic]],
    finder: Segmenter,
) -> tuple[list[dict[str, object]], Strip]:
    """Compare volumes of one noise and a changed mask with the volume of the unchanged one."""
    before, found_before = unedited
    affine = before.volume.affine_mm
    start = centroid_mm(request.region, affine)
    found_start = centroid_mm(found_before, affine)
    title = f"{_of(names, request)}SYNTHETIC, mask as it was"
    rows, strip = [], [Picture(before.volume, title, request.region)]
    has_a_side = request.structure not in ON_BOTH_SIDES
    for edit, asked, made in edited:
        found = segment_again(made.volume, request.structure, finder)
        target, went = centroid_mm(asked.region, affine), centroid_mm(found, affine)
        rows.append(
            {
                **names,
                "edit": edit,
                "dice_requested": dice(found, asked.region),
                "dice_unedited": dice(found, request.region),
                "centroid_error_mm": np.linalg.norm(went - target),
                "centroid_error_unedited_mm": np.linalg.norm(went - start),
                "asked_mm": np.linalg.norm(target - start),
                "followed": displacement_ratio(target - start, went - found_start, max(before.volume.spacing_mm)),
                "laterality_requested": laterality(asked.region) if has_a_side else np.nan,
                "laterality_found": laterality(found) if has_a_side else np.nan,
            }
        )
        strip.append(Picture(made.volume, f"SYNTHETIC, mask {edit}", asked.region))
    return rows, strip


def _progressive(
    names: Mapping[str, str], chain: Sequence[Request], editor: _Editor, strength: float
) -> tuple[list[dict[str, object]], Strip]:
    """Add one request after the other to a volume, and compare each step with the one before."""
    case = names["case"]
    now = editor.make(case, chain[0], 0)
    rows: list[dict[str, object]] = []
    first = f"{case}\nSYNTHETIC, {STRUCTURE_WORDS[chain[0].structure]}"
    strip = [Picture(now.volume, first, chain[1].region)]
    for step, request in enumerate(chain[1:], 1):
        then = editor.add(now, request, strength)
        new = editor.make(case, request, 1)
        other, fresh = (change(now.volume.hu, one.volume.hu, request.region) for one in (then, new))
        rows.append(
            {
                **names,
                "step": step,
                "added": request.structure,
                "strength": strength,
                "inside_hu": other.inside_hu,
                "outside_hu": other.outside_hu,
                "outside_new_noise_hu": fresh.outside_hu,
                "outside_over_new_noise": other.outside_hu / fresh.outside_hu if fresh.outside_hu else np.nan,
            }
        )
        words = STRUCTURE_WORDS[request.structure]
        strip.append(Picture(then.volume, f"SYNTHETIC, then {words}", request.region))
        strip.append(Picture(difference(now.volume, then.volume), "difference: black 0, white 600 HU", request.region))
        now = then
    return rows, strip
