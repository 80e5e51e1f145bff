"""The stage ``evaluate_attention``: which words of a report does a volume attend to?"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from medsyn2.config import EvaluateAttentionConfig, InferenceConfig, SampleConfig
from medsyn2.evaluation.control.attention_figure import AttentionMap, attention_png
from medsyn2.evaluation.held_out import load_cases
from medsyn2.evaluation.statistics.bootstrap import prepend_means
from medsyn2.facts import Report
from medsyn2.files import write_bytes, write_table
from medsyn2.flow import Sampling
from medsyn2.nn.transformer.attention_maps import entropy_share, first_token_mass, recording
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.reports.prompts import absent_prompt
from medsyn2.reports.text import compose_report
from medsyn2.vocabulary import REPORT

log = logging.getLogger(__name__)

COLUMNS = [
    "case", "patient", "num_tokens", "first_token_mass", "alike_mass", "entropy_share", "num_finding_tokens",
    "finding_mass", "finding_over_alike", "gate", "num_maps",
]  # fmt: skip
AVERAGED = ["first_token_mass", "alike_mass", "entropy_share", "finding_mass", "finding_over_alike"]
FINDINGS = frozenset({
    "atelectasis", "bronchiectasis", "calcification", "calcifications", "cardiomegaly", "consolidation",
    "consolidations", "effusion", "effusions", "emphysema", "fibrosis", "fibrotic", "glass", "ground",
    "hernia", "lymphadenopathy", "mosaic", "nodule", "nodules", "opacities", "opacity", "plaque",
    "plaques", "thickening",
})  # fmt: skip
"""Words of the abnormalities that CT-RATE labels and the masks are of."""


def evaluate_attention(
    sample: SampleConfig,
    sampling: Sampling,
    evaluate_attention: EvaluateAttentionConfig,
    inference: InferenceConfig,
    *,
    model: Path,
    inventory: list[Path],
    register: list[Path],
    table: Path,
    figure: Path,
) -> None:
    """Sample held-out reports once more and record the cross-attention, averaged over heads, blocks and steps.

    The mass on the first token, which has no meaning, is attention without a target; the entropy measures how far words
    are told apart; the mass on words of findings, over that of uniform attention, measures whether findings count.
    """
    cases = sorted(load_cases(register, inventory=inventory), key=lambda case: case.name)
    reports = [(case, case.report) for case in cases if case.report]
    pipeline = MedSyn2Pipeline.from_pretrained(model.parent, precision=inference.precision)
    rows, maps = [], []
    for case, report in reports[: evaluate_attention.max_cases]:
        with recording(pipeline.dit) as record:
            pipeline(
                findings=report.findings,
                impression=report.impression,
                seed=derive_seed(sample.seed, case.name, REPORT),
                sampling=sampling,
            )
        weights = record.mean()
        tokens = _tokens(pipeline, report, weights.shape[-1])
        gated = _is_gated(pipeline)
        names = {"case": case.name, "patient": case.subject}
        rows.append({**names, **_numbers(weights, tokens), "gate": gated, "num_maps": record.num_maps})
        title = f"{case.name}, {'with' if gated else 'without'} gates"
        maps.append(AttentionMap(weights[0].cpu().numpy(), tokens, title))
    if not maps:
        log.warning("no held-out case has a report; the figure of attention is empty")
    frame = prepend_means(pd.DataFrame(rows, columns=COLUMNS), AVERAGED, ["gate"])
    write_table(table, frame)
    png = attention_png(maps or [AttentionMap(np.ones((1, 1)), [""], "no held-out report")])
    write_bytes(figure, png)


def _tokens(pipeline: MedSyn2Pipeline, report: Report, num: int) -> list[str]:
    """Return the token of each column; a padded text's padding is named so, an unknown wording is not."""
    encoder, described = pipeline.text_encoder, pipeline.description.text
    text = compose_report(report.findings, report.impression, encoder.separator)
    words = encoder.words(text or "", described.max_report_tokens)
    before = encoder.words(absent_prompt(), described.max_prompt_tokens)
    if described.padded:
        words += ["[PAD]"] * (described.max_report_tokens - len(words))
    before = before[: num - len(words)] + ["[PAD]"] * (num - len(words) - len(before))
    return [*before, *words]


def _numbers(weights: torch.Tensor, tokens: Sequence[str]) -> dict[str, Any]:
    mean = weights[0].mean(dim=0).cpu().numpy()
    about = _about_findings(tokens)
    mass = float(mean[about].sum())
    return {
        "num_tokens": len(mean),
        "first_token_mass": float(first_token_mass(weights)[0]),
        "alike_mass": 1 / len(mean),
        "entropy_share": float(entropy_share(weights)[0]),
        "num_finding_tokens": int(about.sum()),
        "finding_mass": mass,
        "finding_over_alike": mass / (about.sum() / len(mean)) if about.any() else np.nan,
    }


def _about_findings(tokens: Sequence[str]) -> np.ndarray:
    """Return which tokens are, or are pieces of, a word of a finding."""
    starts = [index for index, token in enumerate(tokens) if not token.startswith("##")]
    about = np.zeros(len(tokens), dtype=bool)
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        word = "".join(token.removeprefix("##") for token in tokens[start:end]).lower()
        about[start:end] = word in FINDINGS
    return about


def _is_gated(pipeline: MedSyn2Pipeline) -> bool:
    attention = pipeline.dit.blocks[0].get_submodule("cross_attention")
    return bool(getattr(attention, "gated", getattr(attention, "gate", None) is not None))
