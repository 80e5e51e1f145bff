"""The stage ``evaluate_tokenizer``: the loss of volumes and masks in the tokenizer."""

from math import inf
from pathlib import Path

import pandas as pd

from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.case_rows import load_measured
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, summarise
from medsyn2.evaluation.statistics.means import prepend_means
from medsyn2.facts import ReconstructionFacts
from medsyn2.files import write_table

IMAGE_VALUES = ["ssim_gaussian", "ssim_box", "psnr_db", "psnr_db_body", "mae_hu", "mae_hu_body"]
_WITHIN = {"ssim_gaussian": (-1.0, 1.0), "ssim_box": (-1.0, 1.0), "mae_hu": (0.0, inf), "mae_hu_body": (0.0, inf)}


def evaluate_tokenizer(*, reconstructions: list[Path], images: Path, masks_table: Path) -> None:
    """Average the comparisons of reconstruct: of volumes over cases, of masks by structure and segmenter.

    Intervals are over the patients.
    """
    found = {case: record.facts for case, record in load_measured(reconstructions, ReconstructionFacts).items()}
    if not found:
        raise EnvironmentFault(
            "no held-out case could be reconstructed: none is usable.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    rows = [{"case": case, "patient": facts.subject, **vars(facts.image)} for case, facts in found.items()]
    frame = pd.DataFrame(rows, columns=["case", "patient", *IMAGE_VALUES])
    write_table(images, prepend_means(frame, IMAGE_VALUES, within=_WITHIN))
    mask_rows = [
        {"structure": structure, "patient": facts.subject, **vars(quality)}
        for facts in found.values()
        for structure, quality in facts.masks.items()
    ]
    frame = pd.DataFrame(mask_rows, columns=["structure", "segmenter", "patient", *VALUES, *FLAGS])
    means = summarise(frame, ["structure", "segmenter"])
    write_table(masks_table, means)
