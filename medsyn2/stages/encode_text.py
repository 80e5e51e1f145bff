"""The stage ``encode_text``: the reports as token embeddings."""

import logging
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path

from medsyn2.config import EncodeTextConfig
from medsyn2.errors import ReportError
from medsyn2.facts import InventoryFacts, Report, TextFacts
from medsyn2.files import sha256_of
from medsyn2.nn.text_encoder import (
    ENCODER_FILES,
    NUM_SPECIAL_TOKENS,
    TOKENIZER_CONFIG_FILE,
    EncodedText,
    TextEncoder,
    check_description,
)
from medsyn2.reports.text import compose_report
from medsyn2.store.artefacts import CaseWork, load_manifest, process_shard
from medsyn2.store.text_embeddings import write_report

log = logging.getLogger(__name__)

_MANY_UNKNOWN = 0.05
_REMEMBERED = 64
"""Texts whose embeddings are kept, 1.6 MB each at the paper's size; a scan's reconstructions stand together."""


def encode_text(
    encode_text: EncodeTextConfig, *, inventory: Path, encoder: Path, manifest: Path, settings: str
) -> None:
    """Encode the reports of a shard into token embeddings.

    Findings and impression are joined by the encoder's separator. A case without a report has a record that
    says so and an empty folder. The end of a report that does not fit is in its record, as text and as a number
    of tokens. A report that several cases share, as the reconstructions of one scan do, is encoded once.
    """
    reports = _Reports(encode_text, encoder)
    listed = load_manifest(inventory, InventoryFacts).records
    cases = [
        CaseWork(
            case,
            {
                "report": record.facts.report,
                "subject": record.facts.subject,
                "split": record.facts.split,
                "encoder": reports.identity,
            },
        )
        for case, record in listed.items()
    ]

    def work(case: CaseWork, folder: Path) -> TextFacts:
        return reports.write(case.case, listed[case.case].facts, folder)

    process_shard("encode_text", manifest, cases, work, settings=settings, facts=TextFacts)


def encoder_identity(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a text encoder's folder that decides the embeddings.

    Raises:
        IntegrityError: If the stage that trained it recorded others.
    """
    check_description(folder)
    names = (*ENCODER_FILES, TOKENIZER_CONFIG_FILE)
    return {name: sha256_of(folder / name) for name in names if (folder / name).is_file()}


class _Reports:
    """The text encoder, loaded when the first report needs it."""

    def __init__(self, config: EncodeTextConfig, encoder: Path) -> None:
        self.config, self.encoder = config, encoder
        self.identity = encoder_identity(encoder)
        self.encode = lru_cache(_REMEMBERED)(self._encode)

    @cached_property
    def network(self) -> TextEncoder:
        return TextEncoder.from_folder(self.encoder)

    def write(self, case: str, listed: InventoryFacts, folder: Path) -> TextFacts:
        """Encode and store the report of a case, if it has one; return the facts of its record."""
        facts = TextFacts(listed.subject, listed.split, self.identity, self.config.max_report_tokens, has_report=False)
        report = None if listed.report is None else self._compose(listed.report)
        if report is None:
            return facts
        encoded = self.encode(report)
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
        for note in encoded.notes[0]:
            log.warning("%s: %s", case, note)
        if cut:
            log.warning(
                "%s: the report is longer than %d tokens; left out %d: %r", case, length, encoded.num_cut[0], cut
            )
        kept = None if self.config.padded else length
        write_report(folder, encoded.embeddings[0, :kept].numpy())
        return replace(
            facts,
            has_report=True,
            num_tokens=length,
            num_unknown=unknown,
            num_cut=encoded.num_cut[0],
            cut_text=cut,
            warnings=tuple(f"report: {note}" for note in encoded.notes[0]),
        )

    def _compose(self, report: Report) -> str | None:
        return compose_report(report.findings, report.impression, self.network.separator)

    def _encode(self, report: str) -> EncodedText:
        encode = self.network.encode_padded if self.config.padded else self.network.encode
        return encode([report], self.config.max_report_tokens)
