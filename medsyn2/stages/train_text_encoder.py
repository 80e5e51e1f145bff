"""The stage ``train_text_encoder``: the default text encoder, from the reports of the training split."""

import logging
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from shlex import quote
from statistics import fmean
from typing import Any

from medsyn2.config import TrainTextEncoderConfig
from medsyn2.facts import InventoryFacts
from medsyn2.files import lock, sha256_of, write_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.integrity import read_sealed, write_sealed
from medsyn2.nn.text_encoder import CONFIG_FILE
from medsyn2.reports.prompts import all_prompts
from medsyn2.reports.text import compose_report
from medsyn2.store.artefacts import load_records
from medsyn2.training.text_encoder import train_encoder

log = logging.getLogger(__name__)

SEPARATOR = "[SEP]"
_DESCRIPTION = "encoder.json"
_AVERAGED = 20
_DIGITS = 12


def train_text_encoder(
    train_text_encoder: TrainTextEncoderConfig, *, inventory: list[Path], encoder: Path, settings: str
) -> None:
    """Train vocabulary and text encoder on the reports of the training split.

    The texts include the pre-prompts, so a cohort without reports gets an encoder too. The encoder is written in
    Hugging Face format into the folder of `encoder`'s name, without its suffix. The encoders of other texts and
    settings are kept, as checkpoints are, so that a setting that is changed and put back costs nothing.
    """
    texts = _training_texts(inventory)
    made_from = fingerprint("train_text_encoder", settings, texts)
    folder = encoder.with_suffix("")
    # Snakemake deletes declared outputs before a job; these copies survive.
    root = folder.with_name(f".{folder.name}.kept")
    kept = root / made_from[:_DIGITS]
    with lock(encoder):
        _sort_by_identity(root)
        for other in sorted({path.parent for path in root.glob(f"*/{_DESCRIPTION}")} - {kept}):
            log.info("an encoder of other texts or settings is kept; remove it with: rm -r %s", quote(str(other)))
        description = _reusable_description(kept, made_from)
        if description is None:
            description = _train(train_text_encoder, texts, kept, made_from)
        else:
            log.info("texts and settings are those of an earlier run; its encoder is taken")
        for name in [name for name in description["files"] if name != CONFIG_FILE] + [CONFIG_FILE]:
            write_atomically(folder / name, partial(shutil.copyfile, kept / name))
        write_sealed(encoder, description)


def _training_texts(inventory: list[Path]) -> list[str]:
    reports = [
        compose_report(report.findings, report.impression, SEPARATOR)
        for record in load_records(inventory, InventoryFacts).values()
        if record.facts.split == "train" and (report := record.facts.report)
    ]
    return [*(report for report in reports if report is not None), *all_prompts().values()]


def _sort_by_identity(root: Path) -> None:
    """Move an encoder that lies in the folder itself, where earlier versions put it, to that of its identity."""
    with suppress(OSError, ValueError, KeyError):  # none, or a damaged one
        owner = read_sealed(root / _DESCRIPTION)["fingerprint"]
        aside = root.rename(root.with_name(f"{root.name}.moved"))
        root.mkdir()
        aside.rename(root / owner[:_DIGITS])


def _reusable_description(kept: Path, made_from: str) -> dict[str, Any] | None:
    """Return the description of a kept encoder if its files are intact and its inputs are these."""
    try:
        description = read_sealed(kept / _DESCRIPTION)
        whole = all(sha256_of(kept / name) == digest for name, digest in description["files"].items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return description if whole and description["fingerprint"] == made_from else None


def _train(config: TrainTextEncoderConfig, texts: list[str], kept: Path, made_from: str) -> dict[str, Any]:
    encoder, losses = train_encoder(texts, config)
    shutil.rmtree(kept, ignore_errors=True)
    encoder.save(kept)
    facts = {
        "num_reports": len(texts) - len(all_prompts()),
        "num_prompts": len(all_prompts()),
        "vocabulary_size": len(encoder.tokenizer),
        "first_loss": round(fmean(losses[:_AVERAGED]), 4) if losses else None,
        "last_loss": round(fmean(losses[-_AVERAGED:]), 4) if losses else None,
    }
    files = {path.name: sha256_of(path) for path in sorted(kept.iterdir())}
    description = {"fingerprint": made_from, "files": files, "facts": facts}
    write_sealed(kept / _DESCRIPTION, description)
    log.info("text encoder: %s", facts)
    return description
