"""The stage ``evaluate_attention``: which words of a report does a volume attend to?"""

import json
import logging
from collections.abc import Sequence
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from medsyn2.config import EvaluateAttentionConfig, InferenceConfig, SampleConfig
from medsyn2.evaluation.control.attention_figure import attention_map, attention_png, read_map, write_map
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.statistics.means import prepend_means
from medsyn2.facts import CaseFacts, Report
from medsyn2.files import sha256_of, write_bytes, write_table
from medsyn2.flow import Sampling
from medsyn2.nn.transformer.attention_maps import entropy_share, first_token_mass, recording
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.reports.prompts import absent_prompt
from medsyn2.reports.text import compose_report
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.vocabulary import REPORT

log = logging.getLogger(__name__)

ROW_FILE, MAP_FILE = "row.json", "map.npz"
COLUMNS = [
    "case", "patient", "num_tokens", "first_token_mass", "alike_mass", "entropy_share", "num_finding_tokens",
    "finding_mass", "finding_over_alike", "gate", "num_maps",
]  # fmt: skip
AVERAGED = ["first_token_mass", "alike_mass", "entropy_share", "finding_mass", "finding_over_alike"]
_WITHIN = {name: (0.0, inf if name == "finding_over_alike" else 1.0) for name in AVERAGED}
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
    manifest: Path,
    table: Path,
    figure: Path,
    settings: str,
) -> None:
    """Sample held-out reports once more and record the cross-attention, averaged over heads, blocks and steps.

    The mass on the first token, which has no meaning, is attention without a target; the entropy measures how far words
    are told apart; the mass on words of findings, over that of uniform attention, measures whether findings count. The
    row and the map of each case are kept with the manifest, so that a stopped job goes on with the next case.
    """
    found = sorted(load_cases(register, inventory=inventory), key=lambda case: case.name)
    cases = {case.name: case for case in [case for case in found if case.report][: evaluate_attention.max_cases]}
    recorder = _Recorder(sample.seed, sampling, inference, model.parent)
    identity = sha256_of(model)
    done = process_shard(
        "evaluate_attention",
        manifest,
        [CaseWork(name, [identity, case.subject, case.report]) for name, case in cases.items()],
        lambda work, folder: recorder.keep(cases[work.case], folder),
        settings=settings,
        facts=CaseFacts,
    )
    records = list(done.records.values())
    rows = [json.loads(record.path(ROW_FILE).read_text("utf-8")) for record in records]
    write_table(table, prepend_means(pd.DataFrame(rows, columns=COLUMNS), AVERAGED, ["gate"], within=_WITHIN))
    maps = [read_map(record.path(MAP_FILE)) for record in records]
    if not maps:
        log.warning("no held-out case has a report; the figure of attention is empty")
    png = attention_png(maps or [attention_map(np.ones((1, 1)), [""], "no held-out report")])
    write_bytes(figure, png)


class _Recorder:
    """Records the attention of samples; the model is loaded when the first one needs it."""

    def __init__(self, seed: int, sampling: Sampling, inference: InferenceConfig, model: Path) -> None:
        self.seed, self.sampling, self.inference, self.model = seed, sampling, inference, model

    @cached_property
    def pipeline(self) -> MedSyn2Pipeline:
        return MedSyn2Pipeline.from_pretrained(self.model, precision=self.inference.precision)

    def keep(self, case: Case, folder: Path) -> CaseFacts:
        """Leave the row and the map of a case in its folder."""
        pipeline, report = self.pipeline, case.report
        assert report is not None
        with recording(pipeline.dit) as record:
            pipeline(
                findings=report.findings,
                impression=report.impression,
                seed=derive_seed(self.seed, case.name, REPORT),
                sampling=self.sampling,
            )
        weights = record.mean()
        tokens = _tokens(pipeline, report, weights.shape[-1])
        gated = _is_gated(pipeline)
        names = {"case": case.name, "patient": case.subject}
        row = {**names, **_numbers(weights, tokens), "gate": gated, "num_maps": record.num_maps}
        (folder / ROW_FILE).write_text(json.dumps(row), encoding="utf-8")
        title = f"{case.name}, {'with' if gated else 'without'} gates"
        write_map(folder / MAP_FILE, attention_map(weights[0].cpu().numpy(), tokens, title))
        return CaseFacts(case.subject, case.split)


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
