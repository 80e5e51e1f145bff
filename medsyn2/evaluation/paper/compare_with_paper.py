"""A run's values beside the paper's printed ones, each with its unit and its extractor, model or segmenter.

Two numbers are of one quantity if the same measure of the same thing was computed by the same extractor, model or
segmenter, in units that convert exactly. Grids, cohorts and sample sizes always differ. A value of another quantity
never stands in the column ``this_run``: it stands in ``this_run_nearest``, and ``note`` names the difference.

Of the paper's units: Table 6 is in voxels, of 0.7 mm, and is given in mm too; Table 7 says mm, but prints Table 6's
numbers again, so those have no certain unit; Table 5's pixels have no size. The paper names neither the extractor of
Table 1 nor the thresholds of Table 3, nor how its F1 is averaged (over both classes fits its numbers best), nor how its
distances are defined.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan, nan

import pandas as pd

from medsyn2.evaluation.paper.printed import PRINTED, TOKENIZER, VOXEL_MM, maker_of, unit_of
from medsyn2.vocabulary import JOINT, REPORT, WINDOWS_HU

FILES = (
    *(f"fid_{window}.csv" for window in WINDOWS_HU),
    "clip_scores.csv",
    "zero_shot.csv",
    "augmentation.csv",
    "mask_reconstruction.csv",
    "mask_agreement.csv",
)
"""The tables of a run that have a counterpart in the paper."""

_SOURCES = {"Real": ("real_on_grid", "real"), "MedSyn2": (REPORT,)}
"""The paper's Tables 1 to 3 are of volumes from reports alone."""
_ARMS = {"Real_50": "real", "Synthesized_416": "synthetic", "Combined_466": "both"}
_STRUCTURES = {
    "Lobe": "lobes",
    "Airway": "airways",
    "Vessel": "vessels",
    "Heart": "heart",
    "GGO": "ground_glass",
    "Consolidation": "consolidation",
    "Pleural_Effusion": "pleural_effusion",
    "Pericardial_Effusion": "pericardial_effusion",
    "Nodule": "nodules",
}
_PAIRS = {"gen_gt": "requested", "gen_rec": "reconstructed_mask"}
_OVERLAPS = {"dice": "dice", "jaccard": "jaccard"}
_DISTANCES = {"hd95": "hd95_max_mm", "asd": "assd_mm"}
_LABELS = {"accuracy": "accuracy", "precision": "precision", "auroc": "auroc", "f1": "f1_macro"}

Place = tuple[str, str, str]


@dataclass(frozen=True)
class RunValue:
    """A run's value that belongs beside a printed one."""

    value: float  # In `unit`
    unit: str  # Of the value
    by: str  # What it was computed by: extractor, model or segmenter
    source: str  # The file and the column that it is from
    differs: str = ""  # Why it is not the printed quantity; empty if it is


def compare_with_paper(frames: Mapping[str, pd.DataFrame] | None) -> pd.DataFrame:
    """Return a row for every printed number, with a run's value of it.

    Args:
        frames: The run's tables by file name, of those in `FILES`; None if there is no run.

    Returns:
        Columns table, row, column; ``paper_as_printed``, ``paper_unit``, ``paper_by``, ``paper_in_mm``; ``this_run``,
        ``this_run_nearest``, ``this_run_unit``, ``this_run_by``, ``this_run_from``; ``note``.
    """
    ours = {} if frames is None else {place: value for place, value in _all(frames) if not isnan(value.value)}
    rows = []
    for number, table in PRINTED.items():
        for row, column in table.stack().dropna().index.tolist():
            place = (number, str(row), str(column))
            printed = float(table[column].astype(float)[row])
            note = _note(place, frames, ours)
            rows.append({**_paper_value(place, printed), **_own(ours.get(place)), "note": note})
    return pd.DataFrame(rows)


def _paper_value(place: Place, value: float) -> dict[str, object]:
    unit = unit_of(place[0], place[2])
    in_mm = {"voxel": value * VOXEL_MM, "mm": value}.get(unit)
    if _uncertain(place):
        in_mm = None
    return {
        **dict(zip(("table", "row", "column"), place, strict=True)),
        "paper_as_printed": value,
        "paper_unit": unit,
        "paper_by": maker_of(*place),
        "paper_in_mm": None if in_mm is None else round(in_mm, 4),
    }


def _own(found: RunValue | None) -> dict[str, object]:
    names = ("this_run", "this_run_nearest", "this_run_unit", "this_run_by", "this_run_from")
    if found is None:
        return dict.fromkeys(names)
    values = (None, found.value) if found.differs else (found.value, None)
    return dict(zip(names, (*values, found.unit, found.by, found.source), strict=True))


def _note(place: Place, frames: Mapping[str, pd.DataFrame] | None, ours: Mapping[Place, RunValue]) -> str:
    notes = ["Table 6 prints the same in voxels: one of the units is wrong"] if _uncertain(place) else []
    if place in ours:
        notes.append(ours[place].differs)
    elif frames is not None:
        notes.append(_why_none(place))
    return "; ".join(filter(None, notes))


def _why_none(place: Place) -> str:
    number, row, _ = place
    if number in ("4", "8"):
        return "no run has readers; `medsyn2 readers tabulate` makes this table, of volumes that sample.joint names"
    ours = {"1": {"MedSyn2"}, "2": {*_SOURCES}, "3": {*_SOURCES}, "5": {*_ARMS}}.get(number, {*_STRUCTURES})
    return "this run has none" if row in ours else "another model's"


def _uncertain(place: Place) -> bool:
    number, _, column = place
    return number == "7" and column.startswith("rec_gt") and unit_of(number, column) == "mm"


def _all(frames: Mapping[str, pd.DataFrame]) -> Iterator[tuple[Place, RunValue]]:
    for window in WINDOWS_HU:
        yield from _fid(window, frames.get(f"fid_{window}.csv"))
    yield from _clip(frames.get("clip_scores.csv"))
    yield from _zero_shot(frames.get("zero_shot.csv"))
    yield from _augmentation(frames.get("augmentation.csv"))
    reconstructed = frames.get("mask_reconstruction.csv")
    for number, prefix in (("6", ""), ("7", "rec_gt ")):
        yield from _masks(number, prefix, "mask_reconstruction.csv", reconstructed)
    agreement = frames.get("mask_agreement.csv")
    if agreement is not None:
        for pair, comparison in _PAIRS.items():
            rows = _prefer_mask_alone(agreement[agreement["comparison"] == comparison])
            yield from _masks("7", f"{pair} ", f"mask_agreement.csv, {comparison}", rows)


def _fid(window: str, frame: pd.DataFrame | None) -> Iterator[tuple[Place, RunValue]]:
    for row in _rows(frame, "condition", *_SOURCES["MedSyn2"]):
        extractor = str(row.get("extractor"))
        differs = "" if extractor.startswith("radimagenet") else "another extractor, whose values compare with no other"
        source, by = f"fid_{window}.csv, fid", f"{extractor}; protocol {row.get('protocol')}"
        yield (
            ("1", "MedSyn2", f"{window} {row.get('plane')}"),
            RunValue(float(row.get("fid", nan)), "", by, source, differs),
        )


def _clip(frame: pd.DataFrame | None) -> Iterator[tuple[Place, RunValue]]:
    for name, sources in _SOURCES.items():
        for row in _rows(frame, "source", *sources):
            for model in ("CT-CLIP", "Pillar-0"):
                differs = _other_model(row, model)
                value = RunValue(
                    float(row.get("score", nan)),
                    "100 x cosine",
                    str(row.get("model")),
                    "clip_scores.csv, score",
                    differs,
                )
                yield ("2", name, f"{model} {row.get('score_of')}"), value


def _zero_shot(frame: pd.DataFrame | None) -> Iterator[tuple[Place, RunValue]]:
    for name, sources in _SOURCES.items():
        for row in _rows(frame, "source", *sources):
            for printed, column in _LABELS.items():
                source = f"zero_shot.csv, {column}"
                differs = _other_model(row, "CT-CLIP")
                yield (
                    ("3", name, printed),
                    RunValue(100 * float(row.get(column, nan)), "%", str(row.get("model")), source, differs),
                )


def _other_model(row: pd.Series, model: str) -> str:
    same = model.lower() in str(row.get("model")).lower()
    return "" if same else "another model; values compare within one model alone"


def _augmentation(frame: pd.DataFrame | None) -> Iterator[tuple[Place, RunValue]]:
    for name, arm in _ARMS.items():
        for row in _rows(frame, "arm", arm):
            structure = str(row.get("structure"))
            other = "" if structure == "ground_glass" else f"of {structure}, not of ground-glass opacity"
            by = f"a U-Net, {arm} slices, {structure}"
            for printed, column in _OVERLAPS.items():
                source = f"augmentation.csv, {column}"
                yield (("5", name, printed), RunValue(100 * float(row.get(column, nan)), "%", by, source, other))
            for printed, column in _DISTANCES.items():
                differs = "; ".join(filter(None, (other, "the paper's pixels have no stated size")))
                source = f"augmentation.csv, {column}"
                yield ("5", name, printed), RunValue(float(row.get(column, nan)), "mm", by, source, differs)


def _masks(number: str, prefix: str, file: str, frame: pd.DataFrame | None) -> Iterator[tuple[Place, RunValue]]:
    """Yield the overlaps and distances of one table of masks; lobes that were compared as lungs are the lungs."""
    for name, structure in _STRUCTURES.items():
        if name not in PRINTED[number].index:
            continue
        names = (structure, "lungs") if structure == "lobes" else (structure,)
        for row in _rows(frame, "structure", *names):
            by = str(row.get("segmenter", TOKENIZER))
            known = maker_of(number, name, f"{prefix}dice")
            reasons = ["another segmenter"] if by.lower() not in known.lower() else []
            if row.get("structure") == "lungs":
                reasons.append("of the lungs that the lobes make up")
            if row.get("condition") in JOINT.values():
                reasons.append("of volumes from the report and the mask; the paper does not say which")
            for printed, column in {**_OVERLAPS, **_DISTANCES}.items():
                scale, unit = (100, "%") if printed in _OVERLAPS else (1, "mm")
                value = scale * float(row.get(column, nan))
                place = (number, name, f"{prefix}{printed}")
                yield place, RunValue(value, unit, by, f"{file}, {column}", "; ".join(reasons))


def _prefer_mask_alone(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of volumes from masks alone; of a structure without any, those from report and mask."""
    joint = rows["condition"].isin(JOINT.values())
    return rows[~joint | ~rows["structure"].isin(rows.loc[~joint, "structure"])]


def _rows(frame: pd.DataFrame | None, key: str, *values: str) -> Iterator[pd.Series]:
    """Yield the rows whose `key` is the first of `values` that there is."""
    if frame is None or key not in frame:
        return
    for value in values:
        found = frame[frame[key] == value]
        if len(found):
            yield from (row for _, row in found.iterrows())
            return
