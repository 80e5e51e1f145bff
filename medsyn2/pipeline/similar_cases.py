"""The training cases of a run, ranked by the similarity of their reports to a text.

A report's embedding is the mean of its words' vectors as the stage ``encode_text`` left them, without those of the
first and the last token, ``[CLS]`` and ``[SEP]``: neither the run's own encoder nor CXR-BERT as a plain BERT has been
taught to put a text into ``[CLS]``, and CXR-BERT's projection of it is not among a run's files. The embeddings are
whitened over the training reports: reports are alike in most of their sentences, so that without that all cosines are
near 1 and their differences follow the length of a report more than its findings. Directions in which reports hardly
differ are not stretched beyond `_LEAST_VARIANCE`.

A report finds its own case first, whose masks would be no masks for it. So the patient of a case whose report has the
same words is left out, beside those whom the caller names.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from medsyn2.errors import ConfigError, IntegrityError
from medsyn2.facts import InventoryFacts, MasksFacts, Report, TextFacts
from medsyn2.integrity import is_unchanged, remedy_by_deleting
from medsyn2.reports.text import words_of_report
from medsyn2.store.artefacts import Record, load_manifest
from medsyn2.store.text_embeddings import REPORT, Embeddings, read_report

ENCODERS = ("train_dit/model/text_encoder", "train_text_encoder/encoder")
"""Folders of a run that may hold its text encoder; a model has a copy of it, also of one from elsewhere."""
_LEAST_VARIANCE = 0.01
"""Of the largest. Lesions were found again most often with it (``benchmarks/similar_cases.py``): for 35 of 72 phantoms,
with 0.1 for 34, with 0.001 for 26, without whitening for 31, by chance for 15."""

Vector = Float[np.ndarray, " e"]


@dataclass(frozen=True, eq=False)
class Entry:
    """A case of a run with its report."""

    text: Record[TextFacts]  # Its report's embeddings
    listed: Report | None  # Its report
    masked: Record[MasksFacts] | None  # Its masks; None if it never came that far


@dataclass(frozen=True, eq=False)
class Shelf:
    """The cases of a run."""

    entries: dict[str, Entry]  # By case
    patients: frozenset[str]  # All patients of the cohort, those of refused cases too

    @property
    def training(self) -> dict[str, Entry]:
        """The training cases that have a report."""
        return {
            case: entry
            for case, entry in self.entries.items()
            if entry.text.facts.split == "train" and entry.text.facts.has_report
        }

    def patients_of(self, name: str) -> set[str]:
        """Return the patients whom a name stands for, of a patient or of a case.

        Raises:
            ConfigError: If there is none.
        """
        found = {name} & self.patients
        if name in self.entries:
            found.add(self.entries[name].text.facts.subject)
        if not found:
            raise ConfigError(
                f"the run has no patient and no case {name!r} that could be left out.",
                code="subject-unknown",
                remedy="give the name as it stands in the columns of results/cases.csv.",
            )
        return found

    def authors_of(self, report: str) -> set[str]:
        """Return the patients with a case whose report, or its findings, has the words of a text."""
        words = words_of_report(report)
        return {entry.text.facts.subject for entry in self.entries.values() if words in _wordings(entry.listed)}


def _wordings(report: Report | None) -> Iterator[tuple[str, ...]]:
    """Yield the words of a report and of its findings; those of an impression alone are many patients'."""
    findings = words_of_report((report and report.findings) or "")
    impression = words_of_report((report and report.impression) or "")
    yield from (words for words in (findings, findings + impression) if words)


def load_shelf(run: Path) -> Shelf:
    """Read the records of a run, a shard after another.

    Raises:
        ConfigError: If the run has no training case with an embedded report.
        IntegrityError: If a manifest is damaged.
    """
    entries: dict[str, Entry] = {}
    patients: set[str] = set()
    for path in sorted((run / "encode_text").glob("*.json")):
        inventory = load_manifest(run / "inventory" / path.name, InventoryFacts)
        patients |= {one.facts.subject for one in inventory.cases.values() if one.facts.subject}
        place = run / "masks" / path.name
        masks = load_manifest(place, MasksFacts).records if place.is_file() else {}
        for case, text in load_manifest(path, TextFacts).records.items():
            listed = inventory.records.get(case)
            entries[case] = Entry(text, None if listed is None else listed.facts.report, masks.get(case))
    shelf = Shelf(entries, frozenset(patients))
    if not shelf.training:
        raise ConfigError(
            f"{run} holds no embedded reports of training cases.",
            code="run-without-text",
            remedy="give the folder of results of a run that has finished encode_text, of a cohort with reports.",
        )
    return shelf


def find_encoder(run: Path, shelf: Shelf) -> tuple[Path, int]:
    """Return the folder of the text encoder that made the embeddings, and how many tokens it kept of a report.

    Raises:
        ConfigError: If the run has none, or its reports were embedded by several.
    """
    made = {
        (tuple(sorted(one.text.facts.encoder.items())), one.text.facts.max_tokens) for one in shelf.training.values()
    }
    if len(made) == 1:
        ((files, max_tokens),) = made
        for folder in (run / name for name in ENCODERS):
            if all(is_unchanged(folder / name, sha256) for name, sha256 in files):
                return folder, max_tokens
    raise ConfigError(
        f"{run} holds no text encoder that made the embeddings of all its reports.",
        code="run-without-encoder",
        remedy="finish the run: encode_text embeds reports of other settings again, and train_dit keeps the encoder.",
    )


def read_embedding(record: Record[TextFacts], width: int) -> Vector:
    """Return the embedding of a case's report, of vectors of a width.

    Raises:
        IntegrityError: If it is damaged.
    """
    path = record.path(REPORT)
    tokens, shape = read_report(path.parent)[: record.facts.num_tokens], (record.facts.num_tokens, width)
    if tokens.shape != shape or not np.isfinite(tokens).all():
        raise IntegrityError(
            f"{path} does not hold the {shape[0]} vectors of {shape[1]} values that {record.manifest} states.",
            code="embeddings-damaged",
            remedy=remedy_by_deleting(record.manifest),
        )
    return average_words(tokens)


def average_words(tokens: Embeddings) -> Vector:
    """Return the mean of the vectors between the first and the last, which are of no word."""
    mean: Vector = tokens[1:-1].mean(axis=0)
    return mean


def cosines(rows: Float[np.ndarray, "v e"], one: Vector) -> Float[np.ndarray, " v"]:
    """Return the cosine of each row with a vector after whitening over the rows; 0 for a row like their mean."""
    tiny = np.finfo(np.float32).tiny
    mean = rows.mean(axis=0)
    rows = rows - mean
    variances, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    whitening = axes / np.sqrt(np.maximum(variances, max(_LEAST_VARIANCE * variances[-1], tiny)))
    rows, one = rows @ whitening, (one - mean) @ whitening
    result: Float[np.ndarray, " v"] = rows @ one / np.maximum(np.linalg.norm(rows, axis=1) * np.linalg.norm(one), tiny)
    return result


def rank_cases(shelf: Shelf, embedding: Vector, left_out: Collection[str]) -> dict[str, float]:
    """Return the cosine of each training case with masks of other patients, the most similar first.

    The files of embeddings are read once, one after another, and a vector of each report stays in memory.

    Raises:
        IntegrityError: If an embedding is damaged.
    """
    training = shelf.training
    rows = np.empty((len(training), len(embedding)), np.float32)
    for row, entry in zip(rows, training.values(), strict=True):
        row[:] = read_embedding(entry.text, len(embedding))
    found = dict(zip(training, cosines(rows, embedding).tolist(), strict=True))
    kept = {
        case: cosine
        for case, cosine in found.items()
        if (masked := training[case].masked) is not None
        and masked.facts.present
        and training[case].text.facts.subject not in left_out
    }
    return dict(sorted(kept.items(), key=lambda one: (-one[1], one[0])))
