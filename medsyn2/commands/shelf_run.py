"""Masks from a finished run for `medsyn2 shelf`: of a held-out case, or of the training case most like a report."""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from medsyn2.ct.volume import LabelMap
from medsyn2.errors import ConfigError, MaskError, ReportError, list_names
from medsyn2.facts import MasksFacts, mask_file
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.pipeline.inputs import encode_given
from medsyn2.pipeline.similar_cases import Vector, average_words, find_encoder, load_shelf, rank_cases
from medsyn2.reports.text import text_or_none
from medsyn2.store.artefacts import Record, load_records
from medsyn2.store.read_artefact import read_made_labels
from medsyn2.vocabulary import Structure

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class RunMasks:
    """A case of a run and the masks that it has."""

    record: Record[MasksFacts]
    similarity: float | None = None  # Of its report to the one that was given

    @property
    def content(self) -> str:
        """Its structures and their volumes."""
        facts = self.record.facts
        return ", ".join(f"{name} {facts.masks[name].volume_ml:.0f} ml" for name in facts.present)

    def read(self) -> dict[Structure, LabelMap]:
        """Read the masks, which lie on the grid of the run's model.

        Raises:
            IntegrityError: If one is not the one that was written.
        """
        return {name: read_made_labels(self.record.path(mask_file(name))) for name in self.record.facts.present}


def list_cases(arguments: argparse.Namespace) -> Iterator[tuple[str, RunMasks]]:
    """Yield the held-out cases, or those with the most similar reports, the most similar first."""
    if arguments.report is None:
        wanted = set(arguments.structures or ())
        held_out = _find_held_out(arguments.run).items()
        yield from ((case, found) for case, found in held_out if wanted <= set(found.record.facts.present))
    else:
        yield from islice(_find_similar(arguments), max(arguments.count, 0))


def choose_case(arguments: argparse.Namespace) -> tuple[str, RunMasks]:
    """Return the case that was asked for: by its id, or by a report and the structures that it shall have."""
    if arguments.report is not None:
        case, found = next(_find_similar(arguments))
        log.info("%s has the most similar report: cosine %.3f", case, found.similarity)
        return case, found
    held_out = _find_held_out(arguments.run)
    if arguments.case not in held_out:
        raise ConfigError(
            f"{arguments.run} has no held-out case {arguments.case!r}.",
            code="case-unknown",
            remedy="`medsyn2 shelf list --run` names them.",
        )
    return arguments.case, held_out[arguments.case]


def _find_held_out(run: Path) -> dict[str, RunMasks]:
    records = load_records(sorted((run / "masks").glob("*.json")), MasksFacts)
    held_out = {case: RunMasks(record) for case, record in records.items() if record.facts.split == "test"}
    if not held_out:
        raise ConfigError(
            f"{run} holds no masks of held-out cases.",
            code="run-without-masks",
            remedy="give the folder of results of a run that has made its masks.",
        )
    return held_out


def _find_similar(arguments: argparse.Namespace) -> Iterator[tuple[str, RunMasks]]:
    """Yield the training cases with the structures that are asked for, by similarity."""
    shelf = load_shelf(arguments.run)
    named = {patient for name in arguments.exclude_subject or () for patient in shelf.patients_of(name)}
    authors = shelf.authors_of(arguments.report)
    for phrase in list_names("patients", sorted(authors)):
        log.warning("the report is, word for word, that of %s: left out", phrase)
    encoder, max_tokens = find_encoder(arguments.run, shelf)
    ranked = rank_cases(shelf, _embed(arguments.report, encoder, max_tokens), named | authors)
    wanted = set(arguments.structures or ())
    found = 0
    for case, similarity in ranked.items():
        record = shelf.entries[case].masked
        if record is not None and wanted <= set(record.facts.present):
            found += 1
            yield case, RunMasks(record, similarity)
    if not found:
        raise MaskError(
            f"no training case of {arguments.run} with a report has masks of {', '.join(sorted(wanted)) or 'anything'}"
            f"; {len(named | authors)} patients are left out.",
            code="no-case-with-masks",
            remedy="ask for fewer structures at once, or take the masks of a phantom (without --run).",
        )


def _embed(report: str, folder: Path, max_tokens: int) -> Vector:
    text = text_or_none(report)
    if text is None:
        raise ReportError(
            f"expected a report to compare with those of the run, got {report!r}.",
            code="report-empty",
            remedy="write the report, or leave out --report to list the held-out cases.",
        )
    tokens, notes = encode_given(TextEncoder.from_folder(folder), text, max_tokens, "the report")
    for note in notes:
        log.warning("%s", note)
    return average_words(tokens[0].numpy())
