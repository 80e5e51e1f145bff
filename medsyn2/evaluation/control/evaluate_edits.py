"""The stage ``evaluate_edits``: does a changed report or mask change the volume, and nothing else?

A *part* of the study is a structure of a case whose mask is edited, or a case to which structures are added. The rows
and pictures of each part are kept with the manifest, so that a stopped job goes on with the next part.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from medsyn2.config import EvaluateEditsConfig, EvaluateMasksConfig, InferenceConfig, SampleConfig, SegmentConfig
from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.control.effects import centroid_mm, change, displacement_ratio, laterality
from medsyn2.evaluation.control.requests import Request, grow_requests, request_of
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.segmentation import segment_again, tool_of, tools_again
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.evaluation.statistics.means import prepend_means
from medsyn2.facts import CaseFacts, Report, mask_file, region_file
from medsyn2.files import sha256_of, write_bytes, write_table
from medsyn2.flow import Sampling
from medsyn2.page.strips import Picture, difference, read_strip, strips_png, write_strip
from medsyn2.pipeline import MedSyn2Pipeline, Synthetic
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.store.artefacts import CaseWork, Manifest, process_shard
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure
from medsyn2.weights.model_folder import read_description

log = logging.getLogger(__name__)

SEEDS_COLUMNS = [
    "structure", "case", "patient", "num_seeds", "dice_requested", "dice_between_seeds",
    "inside_hu", "outside_hu", "outside_over_inside", "segmenter",
]  # fmt: skip
EDITS_COLUMNS = [
    "structure", "case", "patient", "edit", "report", "dice_requested", "dice_unedited", "centroid_error_mm",
    "centroid_error_unedited_mm", "asked_mm", "followed", "requested_over_unedited", "found_over_unedited",
    "laterality_requested", "laterality_found", "segmenter",
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
Row = dict[str, Any]
Strip = list[Picture]


def evaluate_edits(
    segment: SegmentConfig,
    sample: SampleConfig,
    sampling: Sampling,
    evaluate_masks: EvaluateMasksConfig,
    evaluate_edits: EvaluateEditsConfig,
    inference: InferenceConfig,
    *,
    model: Path,
    inventory: list[Path],
    register: list[Path],
    masks: list[Path],
    manifest: Path,
    seeds: Path,
    edits: Path,
    progressive: Path,
    seeds_figure: Path,
    edits_figure: Path,
    progressive_figure: Path,
    settings: str,
) -> None:
    """Change the seed, the request or what it adds, one at a time, and measure the changes of the volume.

    Seeds (Figs. 3, 6, 7): one mask, several noises; the requested structure should stay and the rest differ. Edits
    (Fig. 4): one noise, report and mask edited together (``requests.py``); the structure should move, shrink to one
    side or go with them. Progressive synthesis (Fig. 5): a volume of a healthy report is taken back towards its own
    noise and solved again for one more mask, described in the report; outside that mask it should change less than a
    volume from new noise differs. A held-out case takes part with the structures that it has.
    """
    cases = sorted(load_cases(register, inventory=inventory, masks=masks), key=lambda case: case.name)
    segment = tools_again(segment, evaluate_masks)
    parts = {part.name: part for part in _parts(cases, segment, evaluate_edits)}
    identity = sha256_of(model)
    with ExitStack() as held:
        editor = _Editor(sample.seed, sampling, inference, model.parent)
        study = _Study(evaluate_edits, editor, _Finders(segment, held))
        done = process_shard(
            "evaluate_edits",
            manifest,
            [CaseWork(name, [identity, part.sources()]) for name, part in parts.items()],
            lambda work, folder: study.keep(parts[work.case], folder),
            settings=settings,
            facts=CaseFacts,
        )
    outputs = (
        ("seeds", seeds, SEEDS_COLUMNS, ["structure", "num_seeds", "segmenter"], seeds_figure),
        ("edits", edits, EDITS_COLUMNS, ["structure", "edit", "segmenter"], edits_figure),
        ("progressive", progressive, PROGRESSIVE_COLUMNS, ["step", "added", "strength"], progressive_figure),
    )
    for name, table, columns, by, figure in outputs:
        rows, strips = _gather(done, name)
        frame = pd.DataFrame(rows, columns=columns)
        overlaps = {value: (0.0, 1.0) for value in AVERAGED[name] if value.startswith("dice_")}
        write_table(table, prepend_means(frame, AVERAGED[name], by, within=overlaps))
        contour = "mask that is added" if name == "progressive" else "mask asked for"
        write_bytes(figure, strips_png(strips or [[_nothing(name, model.parent)]], contour))


@dataclass(frozen=True)
class Part:
    """A case whose structure is edited, or a case to which structures are added one after another."""

    case: Case
    structures: tuple[Structure, ...]
    tool: str | None  # Name of the segmenter that finds the edited structure again; None where structures are added

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.structures[0] if self.tool else 'progressive'}-{self.case.name}"

    def sources(self) -> list[object]:
        """Return what decides its volumes, beside the model and the settings."""
        assert self.case.masked is not None
        files = [file(structure) for structure in self.structures for file in (mask_file, region_file)]
        digests = [self.case.masked.files[f"{self.case.name}/{file}"] for file in files]
        return [self.structures, self.tool, self.case.subject, self.case.report, digests]


def _parts(cases: Sequence[Case], segment: SegmentConfig, config: EvaluateEditsConfig) -> Iterator[Part]:
    for structure in config.structures:
        tool = tool_of(structure, segment)
        if tool is not None:
            yield from (Part(case, (structure,), tool) for case in _having(cases, [structure], config))
    yield from (Part(case, config.progressive, None) for case in _having(cases, config.progressive, config))


def _having(cases: Sequence[Case], structures: Iterable[Structure], config: EvaluateEditsConfig) -> list[Case]:
    """Return the first cases whose masks of all these structures are present."""
    wanted = set(structures)
    return [case for case in cases if wanted <= set(case.structures)][: config.max_cases]


def _gather(done: Manifest[CaseFacts], table: str) -> tuple[list[Row], list[Strip]]:
    """Return the rows and pictures of a table that the parts left."""
    records = [record for record in done.records.values() if f"{record.case}/{table}.json" in record.files]
    rows = [row for record in records for row in json.loads(record.path(f"{table}.json").read_text("utf-8"))]
    return rows, [read_strip(record.path(f"{table}.npz")) for record in records]


def _nothing(name: str, model: Path) -> Picture:
    """Return the picture of a figure that no case takes part in."""
    grid = read_description(model).grid
    depth, _, width = grid.shape
    air = np.full((depth, 1, width), -1024, np.int16)
    return Picture(CTVolume(air, np.array(grid.affine_mm)), f"{name}: no such case")


class _Finders:
    """The segmenters, each started when the first volume needs it."""

    def __init__(self, segment: SegmentConfig, held: ExitStack) -> None:
        self.segment, self.held = segment, held
        self.ready: dict[str, Segmenter] = {}

    def __getitem__(self, tool: str) -> Segmenter:
        if tool not in self.ready:
            self.ready[tool] = self.held.enter_context(closing(get_segmenter(tool, self.segment)))
        return self.ready[tool]


class _Editor:
    """Makes the volumes that are compared; the model is loaded when the first one needs it."""

    def __init__(self, seed: int, sampling: Sampling, inference: InferenceConfig, model: Path) -> None:
        self.seed, self.sampling, self.inference, self.model = seed, sampling, inference, model

    @cached_property
    def pipeline(self) -> MedSyn2Pipeline:
        return MedSyn2Pipeline.from_pretrained(self.model, precision=self.inference.precision)

    def make(self, case: str, request: Request, seed: int) -> Synthetic:
        """Generate what is requested; a seed means the same noise for every request of the case."""
        noise = derive_seed(self.seed, case, f"edits {seed}")
        return self.pipeline(**_inputs(request), seed=noise, sampling=self.sampling)

    def add(self, before: Synthetic, request: Request, strength: float) -> Synthetic:
        """Take a volume back towards its own noise and solve again for another request."""
        return self.pipeline.edit(before, **_inputs(request), strength=strength, sampling=self.sampling)


def _inputs(request: Request) -> dict[str, Any]:
    report = request.report or Report()
    given = {"findings": report.findings, "impression": report.impression}
    return {**given, "mask": request.given, "mask_text": STRUCTURE_WORDS[request.structure]}


@dataclass(frozen=True)
class _Study:
    """Makes and measures the volumes of a part."""

    config: EvaluateEditsConfig
    editor: _Editor
    finders: _Finders

    def keep(self, part: Part, folder: Path) -> CaseFacts:
        """Leave the rows and the pictures of each table in the part's folder."""
        for table, (rows, strip) in (self._edit(part) if part.tool else self._add(part)).items():
            (folder / f"{table}.json").write_text(json.dumps(rows), encoding="utf-8")
            write_strip(folder / f"{table}.npz", strip)
        return CaseFacts(part.case.subject, part.case.split)

    def _edit(self, part: Part) -> dict[str, tuple[list[Row], Strip]]:
        (structure,), case = part.structures, part.case
        assert part.tool is not None
        finder = self.finders[part.tool]
        names = {"structure": structure, "case": case.name, "segmenter": finder.name, "patient": case.subject}
        plain = request_of(case, structure)
        seeded = [self.editor.make(case.name, plain, seed) for seed in range(self.config.num_seeds)]
        again = [segment_again(one.volume, structure, finder) for one in seeded]
        request, before = plain, (seeded[0], again[0])
        if self.config.with_report and case.report is not None:
            request = request_of(case, structure, case.report)
            unedited = self.editor.make(case.name, request, 0)
            before = unedited, segment_again(unedited.volume, structure, finder)
        requests = list(request.edits(self.config.move_mm))
        edited = [(name, asked, self.editor.make(case.name, asked, 0)) for name, asked in requests]
        return {"seeds": _seeds(names, plain, seeded, again), "edits": _edits(names, request, before, edited, finder)}

    def _add(self, part: Part) -> dict[str, tuple[list[Row], Strip]]:
        healthy = Report(self.config.healthy_report) if self.config.with_report else None
        chain = grow_requests(part.case, part.structures, healthy)
        names = {"case": part.case.name, "patient": part.case.subject}
        return {"progressive": _progressive(names, chain, self.editor, self.config.strength)}


def _title(names: Mapping[str, object], request: Request) -> str:
    """Return the first line of a title."""
    return f"{names['case']}, {STRUCTURE_WORDS[request.structure]}\n"


def _seeds(
    names: Mapping[str, object], request: Request, made: Sequence[Synthetic], found: Sequence[Mask]
) -> tuple[list[Row], Strip]:
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
        Picture(one.volume, f"{_title(names, request)}SYNTHETIC, seed {index + 1}", request.region)
        for index, one in enumerate(made)
    ]
    return [row], strip


def _edits(
    names: Mapping[str, object],
    request: Request,
    unedited: tuple[Synthetic, Mask],
    edited: Sequence[tuple[str, Request, Synthetic]],
    finder: Segmenter,
) -> tuple[list[Row], Strip]:
    """Compare volumes of one noise and an edited request with the volume of the unedited one."""
    before, found_before = unedited
    affine = before.volume.affine_mm
    start = centroid_mm(request.region, affine)
    found_start = centroid_mm(found_before, affine)
    title = f"{_title(names, request)}SYNTHETIC, as it was"
    rows, strip = [], [Picture(before.volume, title, request.region)]
    has_a_side = request.structure not in ON_BOTH_SIDES
    for edit, asked, made in edited:
        found = segment_again(made.volume, request.structure, finder)
        target, went = centroid_mm(asked.region, affine), centroid_mm(found, affine)
        report = asked.report_state(request)
        rows.append(
            {
                **names,
                "edit": edit,
                "report": report,
                "dice_requested": dice(found, asked.region),
                "dice_unedited": dice(found, request.region),
                "centroid_error_mm": np.linalg.norm(went - target),
                "centroid_error_unedited_mm": np.linalg.norm(went - start),
                "asked_mm": np.linalg.norm(target - start),
                "followed": displacement_ratio(target - start, went - found_start, max(before.volume.spacing_mm)),
                "requested_over_unedited": _size_ratio(asked.region, request.region),
                "found_over_unedited": _size_ratio(found, found_before),
                "laterality_requested": laterality(asked.region) if has_a_side else np.nan,
                "laterality_found": laterality(found) if has_a_side else np.nan,
            }
        )
        strip.append(Picture(made.volume, f"report: {report}\nSYNTHETIC, {edit}", asked.region))
    return rows, strip


def _size_ratio(mask: Mask, of: Mask) -> float:
    size = int(np.count_nonzero(of))
    return int(np.count_nonzero(mask)) / size if size else np.nan


def _progressive(
    names: Mapping[str, str], chain: Sequence[Request], editor: _Editor, strength: float
) -> tuple[list[Row], Strip]:
    """Add one request after the other to a volume, and compare each step with the one before."""
    case = names["case"]
    now = editor.make(case, chain[0], 0)
    rows: list[Row] = []
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
