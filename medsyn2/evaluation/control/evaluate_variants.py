"""The stage ``evaluate_variants``: the contribution of a part of the model or of its training.

The rows and pictures of each part of the study (``variant_parts.py``) are kept with the manifest, so that a stopped job
goes on with the next part.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medsyn2.config import MAIN, EvaluateVariantsConfig, FlowConfig, InferenceConfig, SampleConfig
from medsyn2.errors import ConfigError, EnvironmentFault
from medsyn2.evaluation.control.variant_parts import (
    AT_TIME,
    CASE,
    REAL,
    RECONSTRUCTION,
    ROWS_FILE,
    SEAMS_FILE,
    STRIP_FILE,
    Model,
    Part,
    Row,
    Study,
)
from medsyn2.evaluation.control.variants_figure import Seams, variants_png
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.statistics.paired import CASE_COLUMNS, compare
from medsyn2.facts import CaseFacts
from medsyn2.files import write_bytes, write_table
from medsyn2.flow import Sampling
from medsyn2.integrity import check_file
from medsyn2.page.strips import Picture, read_strip, strips_png
from medsyn2.store.artefacts import CaseWork, Manifest, Record, process_shard
from medsyn2.vocabulary import JOINT

log = logging.getLogger(__name__)

OF_NO_MODEL = {"ceiling": REAL, "reconstructed_ct": RECONSTRUCTION}
"""Their comparisons in the stage evaluate_masks."""
ATTENTION = ("first_token_mass", "entropy_share", "finding_over_alike")
ORDER = (
    "blockiness", "flow_loss", "dice_requested", "dice_shuffled", "lesion_made", "lesion_made_mirrored", *ATTENTION,
    "lesion_denser_hu", "fid", AT_TIME,
)  # fmt: skip
"""Of the table's measures: the page shows the first rows."""


def evaluate_variants(
    flow: FlowConfig,
    sample: SampleConfig,
    sampling: Sampling,
    evaluate_variants: EvaluateVariantsConfig,
    inference: InferenceConfig,
    *,
    models: list[Path],
    samples: list[Path],
    agreement: list[Path],
    attention: list[Path],
    fid: list[Path],
    inventory: list[Path],
    register: list[Path],
    masks: list[Path],
    manifest: Path,
    table: Path,
    cases: Path,
    figure: Path,
    left_out_figure: Path,
    settings: str,
) -> None:
    """Compare variants with the main model on the same held-out cases, masks, seeds, times and noise.

    The flow loss is the training's own, at ten times, with each combination of conditions. Agreement with the masks,
    Frechet distances and attention are those of the stages that measure them. Blockiness shows whether the tokens'
    borders are visible (Fig. 13), against real volumes and their reconstructions. For a structure whose masks a variant
    never saw in training (Fig. 12), the main model and the variant make every lesion with its mask and with an empty
    one; lesions that became denser are counted by size.
    """
    found = load_cases(register, inventory=inventory, masks=masks)
    held_out = {case.name: case for case in sorted(found, key=lambda case: case.name)}
    if not held_out or not models:
        raise EnvironmentFault(
            f"models are compared on held-out cases, got {len(models)} models and {len(held_out)} cases.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    names = [MAIN, *(path.parents[2].name for path in models[1:])]
    rows: list[Sequence[Any]] = list(_tables(names, agreement, attention, _shares(fid, len(models)), held_out))
    shares = zip(names, models, _shares(samples, len(models)), strict=True)
    trained = {
        name: Model(name, path, {case.name: case for case in load_cases(register, samples=share)}, inference.precision)
        for name, path, share in shares
    }
    study = Study(trained, sample, sampling, flow.t_clamp, evaluate_variants)
    parts = {**study.cases(list(held_out.values())), **study.left_out(held_out.values())}
    done = process_shard(
        "evaluate_variants",
        manifest,
        [CaseWork(name, part.made_from) for name, part in parts.items()],
        lambda work, folder: _keep_part(parts[work.case], folder),
        settings=settings,
        facts=CaseFacts,
    )
    for record in done.records.values():
        rows += json.loads(record.path(ROWS_FILE).read_text("utf-8"))
    nothing = Picture(next(iter(held_out.values())).read(), "no variant was trained without a structure")
    strips = {record.case: read_strip(record.path(STRIP_FILE)) for record in _having(done, STRIP_FILE)}
    seams = [json.loads(record.path(SEAMS_FILE).read_text("utf-8")) for record in _having(done, SEAMS_FILE)]
    of_cases, left_out = (
        [strip for name, strip in strips.items() if name.startswith(f"{CASE}-") == wanted] for wanted in (True, False)
    )
    write_bytes(figure, _comparison(of_cases, seams))
    write_bytes(left_out_figure, strips_png(left_out or [[nothing]]))
    rows.sort(key=lambda row: ORDER.index(row[0]))
    frame = pd.DataFrame(rows, columns=CASE_COLUMNS)
    write_table(cases, frame, digits=6)
    means = compare(frame, MAIN)
    write_table(table, means)


def _keep_part(part: Part, folder: Path) -> CaseFacts:
    part.keep(folder)
    return CaseFacts(part.subject, "test")


def _having(done: Manifest[CaseFacts], file: str) -> Iterator[Record[CaseFacts]]:
    """Yield the records of the parts that left a file of this name."""
    yield from (record for record in done.records.values() if f"{record.case}/{file}" in record.files)


def _comparison(strips: Sequence[list[Picture]], kept: Sequence[dict[str, Any]]) -> bytes:
    """Draw the same cases by every model, with the real volumes."""
    seams: dict[str, Seams] = {}
    for one in kept:
        for name, found in one["profiles"].items():
            seams.setdefault(name, []).append([np.array(profile) for profile in found])
    return variants_png(strips, kept[0]["pitches"], seams)


def _shares(paths: Sequence[Path], num: int) -> list[Sequence[Path]]:
    """Split the files of several models into one equal share each."""
    each, rest = divmod(len(paths), num)
    if rest:
        raise ConfigError(
            f"expected as many files of each of {num} models, got {len(paths)} in all.",
            code="models-missing",
            remedy="give the main model's files, then those of each variant, in the order of the models.",
        )
    return [paths[index * each : (index + 1) * each] for index in range(num)]


def _tables(
    names: Sequence[str],
    agreement: Sequence[Path],
    attention: Sequence[Path],
    fid: Sequence[Sequence[Path]],
    held_out: Mapping[str, Case],
) -> Iterator[Row]:
    """Yield other stages' measurements of each model."""
    for name, path in zip(names, agreement, strict=True):
        yield from _agreements(name, pd.read_csv(check_file(path)), held_out)
    for name, path in zip(names, attention, strict=True):
        cases = pd.read_csv(check_file(path))
        for row in cases[cases["case"].isin(list(held_out))].to_dict("records"):
            for measure in ATTENTION:
                yield measure, "report", name, held_out[row["case"]].subject, row["case"], row[measure]
    for name, paths in zip(names, fid, strict=True):
        for path in paths:
            frame = pd.read_csv(check_file(path))
            for row in frame[(frame["plane"] == "mean") & (frame["condition"] != REAL)].to_dict("records"):
                yield "fid", f"{row['window']}, {row['condition']}", name, "all", "all", row["fid"]


def _agreements(name: str, cases: pd.DataFrame, held_out: Mapping[str, Case]) -> Iterator[Row]:
    for row in cases.to_dict("records"):
        comparison, subject = row["comparison"], held_out[row["case"]].subject
        joint = row["condition"] in JOINT.values()
        part = f"{row['structure']}, {row['condition']}" if joint else row["structure"]
        if comparison in OF_NO_MODEL and name == MAIN:
            variant = OF_NO_MODEL[comparison]
            yield "dice_requested", part, variant, subject, row["case"], row["dice"]
        elif comparison in ("requested", "shuffled"):
            item = row["case"] if comparison == "requested" else f"{row['case']}, {row['other']}"
            yield f"dice_{comparison}", part, name, subject, item, row["dice"]
