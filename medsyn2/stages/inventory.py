"""The stage ``inventory``: what each file of the cohort is, and which files are not used and why."""

import hashlib
import json
import logging
import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medsyn2.cohort.artefacts import CaseWork, process_shard
from medsyn2.cohort.volumes import inspect_case
from medsyn2.config import InventoryConfig
from medsyn2.reports.table import (
    Report,
    Rows,
    read_labels,
    read_metadata,
    read_reports,
    volume_key,
)

log = logging.getLogger(__name__)

Tables = dict[str, Rows[Any]]
NO_REPORT = Report(None, None)
_END_BYTES = 1 << 16


def inventory(
    inventory: InventoryConfig,
    *,
    cases: str,
    reports: list[Path],
    labels: list[Path],
    metadata: list[Path],
    manifest: Path,
    settings: str,
) -> None:
    """Read every file of a shard strictly, decide what it means, and join its report and labels.

    A file that is damaged, that has no geometry that can be true or whose values are not HU is quarantined
    with a code and a remedy. The files stay where they are; what is known about each goes into its record.
    A file is read again only if its size or its first or last bytes change.

    Args:
        inventory: Settings of this stage.
        cases: JSON list of the shard's cases: id, path, subject, split, position.
        reports: Report tables with CT-RATE's columns; none is allowed.
        labels: Tables of the 18 abnormality labels; none is allowed.
        metadata: Acquisition tables; needed for CT-RATE's unrepaired volumes.
        manifest: The shard's manifest.
        settings: Canonical JSON of the settings and the code version.
    """
    listed = json.loads(cases)
    keys = {case["id"]: volume_key(Path(case["path"]).name) for case in listed}
    wanted = set(keys.values())
    tables: Tables = {
        "report": read_reports(reports, wanted),
        "labels": read_labels(labels, wanted),
        "metadata": read_metadata(metadata, wanted),
    }
    for kind, paths in (("report", reports), ("labels", labels), ("metadata", metadata)):
        if paths:
            _log_matches(kind, tables[kind], keys)

    def work(case: CaseWork, folder: Path) -> Mapping[str, Any]:
        rows = {kind: table.get(keys[case.case]) for kind, table in tables.items()}
        known = {
            name: value for name, value in case.made_from.items() if name not in ("acquisition", "faults")
        }
        found = inspect_case(known["path"], rows["metadata"], inventory.hu_convention)
        for warning in found["warnings"]:
            log.warning("%s: %s", case.case, warning)
        return {**known, **found}

    todo = [
        CaseWork(
            case["id"],
            _known(case, keys[case["id"]], tables),
            known={name: case[name] for name in ("path", "subject", "split")},
        )
        for case in listed
    ]
    process_shard("inventory", manifest, todo, work, settings=settings)


def _log_matches(kind: str, rows: Rows[Any], keys: Mapping[str, str]) -> None:
    without = [case for case, key in keys.items() if key not in rows.values and key not in rows.faults]
    log.info("%s: %d rows; %d of %d cases have one", kind, rows.total, len(keys) - len(without), len(keys))
    if without:
        log.warning("%s: no row for %s", kind, ", ".join(without))


def _known(case: Mapping[str, Any], key: str, tables: Tables) -> dict[str, Any]:
    """Return everything that the record of a case is made from, without reading its voxels."""
    report, labels, acquisition = (tables[kind].values.get(key) for kind in ("report", "labels", "metadata"))
    return {
        "path": case["path"],
        "subject": case["subject"],
        "split": case["split"],
        "position": case["position"],
        "content": _content(Path(case["path"])),
        "report": asdict(report) if report is not None and report != NO_REPORT else None,
        "labels": labels,
        "acquisition": asdict(acquisition) if acquisition is not None else None,
        "faults": [str(rows.faults[key]) for rows in tables.values() if key in rows.faults],
    }


def _content(path: Path) -> str | None:
    """Return a hash of a file's size and of its first and last 64 KiB, or None if it cannot be read.

    The last bytes of a gzip stream are its checksum, so that this notices every change that is not malicious.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        with path.open("rb") as file:
            ends = file.read(_END_BYTES)
            file.seek(max(0, status.st_size - _END_BYTES))
            ends += file.read(_END_BYTES)
    except OSError:
        return None
    return hashlib.sha256(f"{status.st_size}:".encode() + ends).hexdigest()
