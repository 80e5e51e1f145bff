"""Insert lesions into CTs whose truth is known, and measure what came of it.

    python benchmarks/edits.py --output edits.csv
    python benchmarks/edits.py --ct one.nii.gz two.nii.gz --output edits.csv

A phantom is painted twice, with a lesion and without. The mask of the first is inserted into the CT of the second, and
a segmenter looks for it again; beside it stands the same of a volume made from the same mask from scratch, and of the
phantom that has the lesion, which is the segmenter's ceiling. Real CTs get the lesion of the phantom through both
registrations, and no ceiling. Phantoms from number 100 on are no cases of the demo's cohort.
"""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medsyn2.config import SegmentConfig
from medsyn2.ct.binary_mask import mask_to_grid
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.evaluation.control.check import Made, describe_check, draw_check, look_again
from medsyn2.phantoms import Demand, draw_acquisition, draw_subject, scan
from medsyn2.phantoms.lesions import Abnormality
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.source_file import read_source
from medsyn2.vocabulary import STRUCTURE_WORDS

FIRST = 100
SPACING_MM = 3.0
DEMANDS: tuple[Demand, ...] = (
    Demand("pleural_effusion", "left", None, 900.0),
    Demand("consolidation", "right", None, 80.0),
    Demand("nodules", "right", None, 28.0),
)


def main() -> None:
    """Measure and write the table and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="its folder; the model that ships if left out")
    parser.add_argument("--ct", type=Path, nargs="*", default=[])
    parser.add_argument("--phantoms", type=int, default=2)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    pipeline = MedSyn2Pipeline.from_pretrained(arguments.model)
    rows = []
    for number in range(FIRST, FIRST + arguments.phantoms):
        for demand in DEMANDS:
            rows += list(_measure(pipeline, number, demand, arguments.ct, arguments.output))
            pd.DataFrame(rows).to_csv(arguments.output, index=False, float_format="%.4g")
    logging.info("%s written", arguments.output)


def _measure(
    pipeline: MedSyn2Pipeline, number: int, demand: Demand, cts: list[Path], output: Path
) -> Iterator[dict[str, Any]]:
    kind: Abnormality = demand.kind
    words, name = STRUCTURE_WORDS[kind], f"phantom_{number}"
    ill, well = (draw_subject(0, number, demands) for demands in ((demand,), ()))
    acquisition = draw_acquisition(well, SPACING_MM)
    with_lesion, without = scan(ill, acquisition), scan(well, acquisition)
    truth = with_lesion.truth[kind]
    assert pipeline.reference is not None
    matrix = pipeline.reference.align(without.volume).template_to_native_lps_mm
    on_model = LabelMap(mask_to_grid(truth, pipeline.grid, matrix)[0], pipeline.grid.affine_mm)
    yield _row(name, kind, "truth", Made(with_lesion.volume, words, truth.binary()), output)
    edited = pipeline.edit(without.volume, mask=truth, mask_text=words)
    yield _row(name, kind, "inserted", Made.of(edited), output)
    made = pipeline(mask=on_model, mask_text=words)
    yield _row(name, kind, "from scratch", Made.of(made), output)
    for path in cts:
        ct, _, _ = read_source(path)
        yield _row(path.name.split(".")[0], kind, "inserted", _insert(pipeline, ct, on_model, words), output)


def _insert(pipeline: MedSyn2Pipeline, ct: CTVolume, on_model: LabelMap, words: str) -> Made:
    return Made.of(pipeline.edit(ct, mask=on_model, mask_text=words))


def _row(case: str, kind: str, how: str, made: Made, output: Path) -> dict[str, Any]:
    found, problem = look_again(made, SegmentConfig())
    record = describe_check(made, found, problem)
    picture = output.with_name(f"{output.stem}_{case}_{kind}_{how.replace(' ', '_')}.png")
    picture.write_bytes(draw_check(made, found, f"{case}, {kind}, {how}"))
    inside = record["inside_hu"] or {"mean": np.nan}
    before = record.get("inside_before_hu") or {"mean": np.nan}
    kept = ("asked_ml", "found_ml", "dice", "untouched_share", "seam_before_ratio", "seam_ratio", "problem")
    values = {name: record.get(name) for name in kept}
    return {
        "case": case,
        "structure": kind,
        "how": how,
        "inside_before_hu": before["mean"],
        "inside_hu": inside["mean"],
        **values,
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    main()
