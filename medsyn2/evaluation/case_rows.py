"""Rows of tables that a measuring stage keeps for each case, and the last stage of an evaluation gathers.

A measuring stage works shard by shard, so that a killed job goes on with its next case and a case that cannot be
measured costs one case. The last stage makes the table of all rows, and names the cases that are not in it.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from medsyn2.store.artefacts import Record, load_manifests, records_of

log = logging.getLogger(__name__)

ROWS_FILE = "rows.json"
Facts = TypeVar("Facts")


def write_rows(folder: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write the rows of a case into its folder."""
    (folder / ROWS_FILE).write_text(json.dumps(list(rows)), encoding="utf-8")


def read_rows(record: Record[Any]) -> list[dict[str, Any]]:
    """Return the rows of a case."""
    rows: list[dict[str, Any]] = json.loads(record.path(ROWS_FILE).read_text(encoding="utf-8"))
    return rows


def load_measured(paths: Iterable[Path], facts: type[Facts]) -> dict[str, Record[Facts]]:
    """Read the records of the cases that were measured, in the shards' order; log the others with their reasons."""
    manifests = load_manifests(list(paths), facts)
    for manifest in manifests:
        for case, refusal in manifest.refused.items():
            log.warning("%s is left out, refused by %s: %s", case, manifest.stage, refusal.problem.message)
    return records_of(manifests)
