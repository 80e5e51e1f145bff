"""The stage ``inventory``: the identity of each file of the cohort, and the files refused with reasons."""

import filecmp
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medsyn2.cohort.file_state import content_of
from medsyn2.cohort.volumes import inspect_case
from medsyn2.config import InventoryConfig
from medsyn2.errors import CaseError, InvalidVolumeError
from medsyn2.facts import InventoryFacts, Listed, Report, ScanFacts
from medsyn2.formats import holds_series, list_series
from medsyn2.integrity import check_file
from medsyn2.reports.table import Rows, read_labels, read_metadata, read_reports
from medsyn2.stages.anatomy import stop_if_disordered
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.vocabulary import volume_key

log = logging.getLogger(__name__)

Tables = dict[str, Rows[Any]]
NO_REPORT = Report(None, None)


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
    """Read every file of a shard strictly, interpret it, and join its report and labels.

    A file that is damaged, has an impossible geometry, whose values are not HU or whose chest lies otherwise than its
    header says is quarantined with a code and a remedy, unless another reconstruction of the scan can be used. Labels
    that cannot be read are left out. Files stay in place; their records hold the facts. A file is read again only if
    its content changes. A shard whose chests mostly lie otherwise stops the run.
    """
    listed = json.loads(cases)
    entries = {case["id"]: case for case in listed}
    keys = {case["id"]: _key(case) for case in listed}
    wanted = {key for case in listed for key in (keys[case["id"]], *map(volume_key, case.get("later", ())))}
    # Before they are read, or damage is taken for another table. Those of the phantoms were written by a stage, users'
    # have no checksum beside them.
    for path in (*reports, *labels, *metadata):
        check_file(path)
    tables: Tables = {
        "report": read_reports(reports, wanted),
        "labels": read_labels(labels, wanted),
        "metadata": read_metadata(metadata, wanted),
    }
    for kind, paths in (("report", reports), ("labels", labels), ("metadata", metadata)):
        if paths:
            _log_matches(kind, tables[kind], keys)

    def work(case: CaseWork, folder: Path) -> InventoryFacts:
        entry, known = entries[case.case], case.made_from
        _refuse(entry)
        tables["report"].get(keys[case.case])  # a report that cannot be read is the case's fault
        scan, content = _inspect_scan(known["files"], tables["metadata"], inventory)
        scan = replace(scan, warnings=(*scan.warnings, *known["warnings"]))
        for warning in scan.warnings:
            log.warning("%s: %s", case.case, warning)
        carried = {name: entry[name] for name in ("subject", "split", "position")}
        found = {name: known[name] for name in ("report", "labels")}
        return InventoryFacts(**vars(scan), **carried, **found, content=content)

    todo = [
        CaseWork(
            case["id"],
            _identity(case, keys[case["id"]], tables),
            known=Listed(case["subject"], case["split"], _printable(case["path"])),
        )
        for case in listed
    ]
    done = process_shard("inventory", manifest, todo, work, settings=settings, facts=InventoryFacts)
    stop_if_disordered([done])


def _log_matches(kind: str, rows: Rows[Any], keys: Mapping[str, str]) -> None:
    without = [case for case, key in keys.items() if key not in rows.values and key not in rows.faults]
    log.info("%s: %d rows; %d of %d cases have one", kind, rows.total, len(keys) - len(without), len(keys))
    if without:
        log.warning("%s: no row for %s", kind, ", ".join(without))


def _key(case: Mapping[str, Any]) -> str:
    """Return the key by which rows of tables name a case."""
    return case.get("key") or volume_key(Path(case["path"]).name)


def _identity(case: Mapping[str, Any], key: str, tables: Tables) -> dict[str, Any]:
    """Return all inputs of a case's record, without reading its voxels."""
    report, labels = (tables[kind].values.get(key) for kind in ("report", "labels"))
    lost = tables["labels"].faults.get(key)
    return {
        "same_as": _printable(case.get("same_as") or ""),
        "subject": case["subject"],
        "split": case["split"],
        "position": case["position"],
        "report": report if report != NO_REPORT else None,
        "labels": labels,
        "faults": [str(fault)] if (fault := tables["report"].faults.get(key)) else [],
        "warnings": [f"its labels are left out: {lost.message}"] if lost else [],
        "files": [
            _file(case["path"], key, tables["metadata"]),
            *(_file(path, volume_key(Path(path).name), tables["metadata"]) for path in case.get("later", ())),
        ],
    }


def _file(path: str, key: str, metadata: Rows[Any]) -> dict[str, Any]:
    """Return what decides how a file is read: its content and its row of the metadata, or the row's fault."""
    fault = metadata.faults.get(key)
    return {
        "path": _printable(path),
        "key": _printable(key),
        "content": content_of(Path(path)),
        "acquisition": metadata.values.get(key),
        "faults": [str(fault)] if fault else [],
    }


def _inspect_scan(
    files: Sequence[Mapping[str, Any]], metadata: Rows[Any], config: InventoryConfig
) -> tuple[ScanFacts, str | None]:
    """Inspect the first of a scan's files or series that can be used; return its facts and the hash of its content.

    Raises:
        CaseError: If none can be used; of the first file.
    """
    refused: list[CaseError] = []
    for file, series in _candidates(files, config, refused):
        try:
            row = metadata.get(file["key"])
            scan = inspect_case(file["path"], row, config.hu_convention, config.orientation, series)
        except CaseError as error:
            refused.append(error)
            continue
        problems = (f"an earlier reconstruction was refused ({error.code}): {error.message}" for error in refused)
        return replace(scan, warnings=(*scan.warnings, *problems)), file["content"]
    raise refused[0]


def _candidates(
    files: Sequence[Mapping[str, Any]], config: InventoryConfig, refused: list[CaseError]
) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    """Yield each file, of DICOM slices each series in the order of the rule; note what is refused."""
    for file in files:
        path = Path(file["path"])
        if not holds_series(path):
            yield file, None
            continue
        try:
            found = list_series(path, config.series)
        except CaseError as error:
            refused.append(error)
            continue
        yield from ((file, series) for series in found)


def _printable(path: str) -> str:
    """Return a path as valid UTF-8, with other bytes escaped."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _refuse(case: Mapping[str, Any]) -> None:
    """Refuse a file for its name, or because an earlier case holds the same bytes."""
    path, earlier = case["path"], case.get("same_as")
    if _printable(path) != path:
        raise InvalidVolumeError(
            f"{_printable(path)}: expected a path in UTF-8, got bytes that are none.",
            code="file-name",
            remedy="rename the file.",
        )
    if earlier and filecmp.cmp(path, earlier, shallow=False):
        raise InvalidVolumeError(
            f"{path} holds the same bytes as {_printable(earlier)}, which is a case of its own.",
            code="file-repeated",
            remedy="remove one of them; if they should be two scans, one was copied over the other.",
        )
