"""The stage ``evaluate_scores``: CLIP scores and zero-shot labels, the paper's Tables 2 and 3."""

import logging
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from medsyn2.config import EvaluateFidConfig, EvaluateScoresConfig, GridConfig
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part, read_bank, write_bank
from medsyn2.evaluation.features.extraction import extract_bank, make_spec
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.held_out import load_cases, volumes_by_condition
from medsyn2.evaluation.text.clip import EMBEDDING
from medsyn2.evaluation.text.linear_clip import LinearClip, fit_linear_clip
from medsyn2.evaluation.text.score_tables import (
    CLIP_COLUMNS,
    ON_GRID,
    REAL,
    ZERO_SHOT_COLUMNS,
    clip_table,
    zero_shot_table,
)
from medsyn2.facts import Report, TextFacts
from medsyn2.files import write_json, write_table
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.reports.text import compose_report
from medsyn2.store.artefacts import load_records
from medsyn2.store.text_embeddings import REPORT, read_report
from medsyn2.vocabulary import ABNORMALITY_LABELS

log = logging.getLogger(__name__)

TEXT, PROMPTS = "text", "prompts"
MIN_PAIRS = 3
PROMPT_TOKENS = 32
PROMPT_TEXTS = {"present": "{label} is present.", "absent": "{label} is not present."}


def evaluate_scores(
    grid: GridConfig,
    evaluate_fid: EvaluateFidConfig,
    evaluate_scores: EvaluateScoresConfig,
    *,
    inventory: list[Path],
    register: list[Path],
    text: list[Path],
    encoder: Path,
    samples: list[Path],
    banks: Path,
    cache: Path,
    clip: Path,
    zero_shot: Path,
) -> None:
    """Score the fit of volumes to their reports, and the zero-shot labels that a model finds in them.

    With a command, the user's vision-language model embeds volumes, reports and prompts in its own environment. Without
    one, a linear space is fitted to the training cases: features of evaluate_fid against the reports' embeddings. Such
    features are of volumes on the model's grid, so that only a command's tables have a row of scans as acquired.
    """
    cases = _Cases(inventory, register, samples)
    if evaluate_scores.command:
        found = _ask_model(evaluate_scores.command, cases, banks)
    else:
        spec = make_spec(grid, evaluate_fid, evaluate_scores.windows)

        def features(volumes: Sequence[VolumeFile], kind: str, source: str) -> Bank:
            return extract_bank(volumes, spec, {"kind": kind, "source": source}, cache)

        found = _fit_space(features, evaluate_scores, cases, text, encoder)
    for name, bank in found.items():
        write_bank(banks / f"{name}.json", bank)
    partners, prompts = found.pop(TEXT, None), found.pop(PROMPTS, None)
    scored = pd.DataFrame(columns=CLIP_COLUMNS)
    if partners is not None and len(partners.ids) > 1:
        scored = clip_table(_with_enough(found, partners.ids, 2, "reports"), partners, seed=evaluate_scores.seed)
    judged = pd.DataFrame(columns=ZERO_SHOT_COLUMNS)
    if prompts is not None and len(cases.truth):
        labelled = _with_enough(found, cases.truth.index, 1, "labels")
        labelled = {name: _select(bank, cases.truth.index) for name, bank in labelled.items()}
        where = ", ".join(str(path) for path in inventory)
        judged = zero_shot_table(labelled, prompts, cases.truth, truth_of=where, scale=evaluate_scores.scale)
    for place, frame in ((clip, scored), (zero_shot, judged)):
        if frame.empty:
            log.warning("%s has no rows: too few cases with reports or labels", place)
        write_table(place, frame)


class _Cases:
    """The volumes of each source with the reports and labels of their cases."""

    def __init__(self, inventory: list[Path], register: list[Path], samples: list[Path]) -> None:
        train = load_cases(register, inventory=inventory, split="train")
        self.cases = load_cases(register, inventory=inventory, samples=samples)
        self.train = [case.volume for case in train if case.report]
        self.held_out = [case.volume for case in self.cases]
        self.synthetic = volumes_by_condition(self.cases)
        known = {case.name: case.scan.labels for case in self.cases if case.scan.labels is not None}
        frame = pd.DataFrame.from_dict(known, orient="index", columns=list(ABNORMALITY_LABELS))
        self.truth = frame.astype(int)

    def reports(self) -> dict[VolumeFile, Report]:
        """Return the reports of the held-out volumes that have one."""
        return {case.volume: case.report for case in self.cases if case.report}

    def scans(self) -> list[VolumeFile]:
        """Return the held-out volumes as they were acquired, where the file alone says where it is and in HU.

        A file whose spacing or HU come from the metadata table would be read wrongly by anybody else's program.
        """
        plain = [
            replace(case.volume, path=Path(case.scan.path), sha256=None)
            for case in self.cases
            if case.scan.hu.convention == "hu" and case.scan.affine_repair is None
        ]
        if len(plain) < len(self.cases):
            num = len(self.cases) - len(plain)
            log.warning("%s: %d scans are left out, their geometry or HU are not in the file", REAL, num)
        return plain


def _fit_space(
    features: Callable[[Sequence[VolumeFile], str, str], Bank],
    config: EvaluateScoresConfig,
    cases: _Cases,
    text: list[Path],
    encoder: Path,
) -> dict[str, Bank]:
    """Return embeddings in a linear space fitted to the training cases; none if those with reports are too few."""
    chosen = cases.train[: config.max_train]
    if min(len(chosen), len(cases.held_out)) < MIN_PAIRS:
        return {}
    records = load_records(text, TextFacts)

    def mean_of(case: str) -> Float[np.ndarray, " e"]:
        """Return the mean of the embeddings of a stored report's words, without those of any padding."""
        record = records[case]
        mean: Float[np.ndarray, " e"] = read_report(record.path(REPORT).parent)[: record.facts.num_tokens].mean(axis=0)
        return mean

    train = features(chosen, "real", "training cases")
    space = fit_linear_clip(_concatenate(train), np.stack([mean_of(case) for case in train.ids]))
    log.info("%s; lambda %.3g of the mean product", space.name, space.penalty)
    found = {ON_GRID: _embed(features(cases.held_out, "real", ON_GRID), space)}
    for condition, volumes in sorted(cases.synthetic.items()):
        found[condition] = _embed(features(volumes, "synthetic", condition), space)
    facts, reported = found[ON_GRID].facts, cases.reports()
    if reported:
        rows = np.stack([mean_of(volume.id) for volume in reported])
        about = tuple(volume.id for volume in reported), tuple(volume.patient for volume in reported)
        found[TEXT] = _bank(replace(facts, source=TEXT), *about, space.of_texts(rows))
    network = TextEncoder.from_folder(encoder)
    prompts = label_prompts()
    encoded = network.encode(list(prompts.values()), PROMPT_TOKENS)
    rows = (encoded.embeddings.sum(dim=1) / encoded.lengths[:, None]).numpy()
    names = tuple(prompts)
    found[PROMPTS] = _bank(replace(facts, source=PROMPTS), names, names, space.of_texts(rows))
    return found


def label_prompts() -> dict[str, str]:
    """Return the text of each prompt by its id, ``<label>/present`` and ``<label>/absent``."""
    return {
        f"{label}/{state}": wording.format(label=label)
        for label in ABNORMALITY_LABELS
        for state, wording in PROMPT_TEXTS.items()
    }


def _concatenate(bank: Bank) -> Float[np.ndarray, "v f"]:
    return np.concatenate([bank.volume_means(part) for part in sorted(bank.parts)], axis=1)


def _embed(features: Bank, space: LinearClip) -> Bank:
    facts = replace(
        features.facts, extractor=space.name, extractor_sha256=space.sha256, comparable="nothing but values of this fit"
    )
    return _bank(facts, features.ids, features.patients, space.of_volumes(_concatenate(features)))


def _bank(facts: BankFacts, ids: tuple[str, ...], patients: tuple[str, ...], rows: Float[np.ndarray, "v e"]) -> Bank:
    part = Part(rows.astype(np.float32), np.arange(len(rows), dtype=np.int32))
    return Bank(facts, ids, patients, {EMBEDDING: part})


def _with_enough(sources: Mapping[str, Bank], known: Collection[str], least: int, needed: str) -> dict[str, Bank]:
    """Return the sources that have at least so many of the `known` ids; the others are named and left out."""
    enough = {}
    for name, bank in sources.items():
        shared = sum(one in known for one in bank.ids)
        if shared >= least:
            enough[name] = bank
        else:
            log.warning("%s is left out: %d of its volumes have %s, needed are %d", name, shared, needed, least)
    return enough


def _select(bank: Bank, ids: pd.Index) -> Bank:
    """Return the rows of a bank whose ids are among `ids`."""
    kept = [index for index, name in enumerate(bank.ids) if name in ids]
    names, patients = (tuple(all_of[index] for index in kept) for all_of in (bank.ids, bank.patients))
    return _bank(bank.facts, names, patients, bank.volume_means(EMBEDDING)[kept])


def _ask_model(command: Sequence[str], cases: _Cases, banks: Path) -> dict[str, Bank]:
    """Let the user's model embed everything, in a process of its own."""
    scans = cases.scans()
    sources = {
        **({REAL: ("real", scans)} if scans else {}),
        ON_GRID: ("real", cases.held_out),
        **{name: ("synthetic", volumes) for name, volumes in sorted(cases.synthetic.items())},
    }
    request = {
        "sources": {
            name: {"kind": kind, "volumes": [_volume_entry(volume) for volume in volumes]}
            for name, (kind, volumes) in sources.items()
        },
        TEXT: [_report_entry(volume, report) for volume, report in cases.reports().items()],
        PROMPTS: [{"id": name, "patient": name, "text": text} for name, text in label_prompts().items()],
    }
    place, answers = banks / "request.json", banks / "answers"
    write_json(place, request)
    answers.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run([*command, "--request", place, "--out", answers], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentFault(
            f"evaluate_scores.command failed: {error}.",
            code="scores-command-failed",
            remedy=f"run it by hand with --request {place} --out {answers}; its output is above.",
        ) from error
    wanted = [*sources, *([TEXT] if request[TEXT] else []), PROMPTS]
    return {name: read_bank(answers / f"{name}.json") for name in wanted}


def _volume_entry(volume: VolumeFile) -> dict[str, str]:
    return {"id": volume.id, "patient": volume.patient, "path": str(volume.path.absolute())}


def _report_entry(volume: VolumeFile, report: Report) -> dict[str, str]:
    text = compose_report(report.findings, report.impression, " ") or ""
    return {"id": volume.id, "patient": volume.patient, "text": text}
