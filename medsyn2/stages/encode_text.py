"""The stage ``encode_text``: the reports as token embeddings, in a store."""

import json
import logging
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from medsyn2.config import EncodeTextConfig
from medsyn2.errors import IntegrityError, ReportError
from medsyn2.facts import InventoryFacts, Report, TextFacts
from medsyn2.files import sha256_of, write_json
from medsyn2.nn.text_encoder import (
    ENCODER_FILES,
    NUM_SPECIAL_TOKENS,
    TOKENIZER_CONFIG_FILE,
    EncodedText,
    TextEncoder,
)
from medsyn2.reports.text import compose_report
from medsyn2.store.artefacts import CaseWork, Record, load_manifest, process_shard
from medsyn2.store.text_embeddings import TextStore

log = logging.getLogger(__name__)

ROW = "row.json"
_MANY_UNKNOWN = 0.05
_REMEMBERED = 64
"""Texts whose embeddings are kept, 1.6 MB each at the paper's size; a scan's reconstructions stand together."""


def encode_text(
    encode_text: EncodeTextConfig, *, inventory: Path, encoder: Path, manifest: Path, settings: str
) -> None:
    """Encode the reports of a shard into token embeddings, in one Zarr store a shard, beside the manifest.

    Findings and impression are joined by the encoder's separator. A case without a report has a record that
    says so and nothing in the store. What of a report does not fit is in its record, as text and as a number
    of tokens. A report that several cases share, as the reconstructions of one scan do, is encoded once. A
    case's folder holds the sha256 of each file of its row; a row that is not there, or not those bytes, is
    made again.

    Args:
        encode_text: How many tokens are kept.
        inventory: Manifest of the inventory of this shard.
        encoder: Folder of the text encoder in Hugging Face format.
        manifest: Manifest of this stage.
        settings: Canonical JSON of the settings and the code version.
    """
    records = load_manifest(inventory, InventoryFacts).records
    rows = _Rows(encode_text, encoder, manifest.with_suffix(".zarr"), list(records))
    cases = [
        CaseWork(
            case,
            {
                "report": record.facts.report,
                "subject": record.facts.subject,
                "split": record.facts.split,
                "encoder": rows.identity,
            },
        )
        for case, record in records.items()
    ]

    def work(case: CaseWork, folder: Path) -> TextFacts:
        listed = records[case.case].facts
        report = rows.composed(listed.report)
        files, embedded = ({}, {}) if report is None else rows.write(case.case, report)
        write_json(folder / ROW, {"files": files})
        return TextFacts(listed.subject, listed.split, report is not None, **embedded)

    def intact(record: Record[TextFacts]) -> bool:
        row = json.loads((manifest.with_suffix("") / record.case / ROW).read_text(encoding="utf-8"))
        return not record.facts.has_report or rows.hold(record.case, row["files"])

    process_shard("encode_text", manifest, cases, work, settings=settings, facts=TextFacts, intact=intact)


def encoder_identity(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a text encoder's folder that decides the embeddings."""
    names = (*ENCODER_FILES, TOKENIZER_CONFIG_FILE)
    return {name: sha256_of(folder / name) for name in names if (folder / name).is_file()}


class _Rows:
    """The shard's store, opened when it is first needed: by then the shard's lock is held."""

    def __init__(self, config: EncodeTextConfig, encoder: Path, path: Path, cases: list[str]) -> None:
        self.config, self.encoder, self.path, self.cases = config, encoder, path, cases
        self.identity = encoder_identity(encoder)
        self.encoded = lru_cache(_REMEMBERED)(self._encoded)

    @cached_property
    def network(self) -> TextEncoder:
        return TextEncoder.from_folder(self.encoder)

    @cached_property
    def store(self) -> TextStore:
        return TextStore.open_for_writing(
            self.path,
            self.cases,
            max_tokens=self.config.max_report_tokens,
            width=self.network.width,
            encoder=self.identity,
        )

    def composed(self, report: Report | None) -> str | None:
        if report is None:
            return None
        return compose_report(report.findings, report.impression, self.network.separator)

    def hold(self, case: str, files: Mapping[str, str]) -> bool:
        """Return whether the row of `case` is there to the byte; needs no network."""
        try:
            return TextStore.open(self.path).store.holds(case, files)
        except IntegrityError:
            return False

    def write(self, case: str, report: str) -> tuple[dict[str, str], dict[str, Any]]:
        """Encode and store one report; return the files of its row and the facts of its record."""
        encoded = self.encoded(report)
        length, unknown, cut = int(encoded.lengths[0]), encoded.unknown[0], encoded.cut[0]
        if unknown == length - NUM_SPECIAL_TOKENS:
            raise ReportError(
                f"expected a report in the text encoder's language, got one of whose {unknown} tokens none is "
                f"in its vocabulary: {report[:80]!r}.",
                code="report-unknown-words",
                remedy="translate the reports to the language of the text encoder, or use another encoder.",
            )
        if unknown > _MANY_UNKNOWN * length:
            log.warning("%s: %d of %d tokens are not in the vocabulary", case, unknown, length)
        if cut:
            log.warning(
                "%s: the report is longer than %d tokens; left out %d: %r",
                case,
                length,
                encoded.num_cut[0],
                cut,
            )
        files = self.store.write(case, encoded.embeddings[0].numpy(), length)
        facts = {"num_tokens": length, "num_unknown": unknown, "num_cut": encoded.num_cut[0], "cut_text": cut}
        return files, facts

    def _encoded(self, report: str) -> EncodedText:
        return self.network.encode([report], self.config.max_report_tokens)
