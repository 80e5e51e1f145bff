"""The stage ``check_split``: no scan is trained on and held out."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medsyn2.errors import EnvironmentFault, list_names
from medsyn2.facts import InventoryFacts
from medsyn2.files import write_json
from medsyn2.store.artefacts import load_manifest
from medsyn2.vocabulary import Split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Scan:
    """A file of the cohort."""

    path: str
    subject: str
    split: Split


def check_split(*, inventory: list[Path], split: Path, settings: str) -> None:
    """Stop the run if a scan is in both splits under two names.

    Two files with the same HU in every voxel are one scan, however they are packed, named and described; the tables and
    the names, from which the splits come, do not know it. The trainings wait for this stage. A scan that is twice in
    one split counts twice there; it is warned of, and the page says so.
    """
    first: dict[str, _Scan] = {}
    repeated: list[tuple[_Scan, _Scan]] = []
    divided: list[tuple[_Scan, _Scan]] = []
    for image, scan in _scans(inventory):
        other = first.setdefault(image, scan)
        if other is not scan:
            (repeated if other.split == scan.split else divided).append((other, scan))
    if divided:
        pairs = [f"{one.path} ({one.split}) and {other.path} ({other.split})" for one, other in divided]
        raise EnvironmentFault(
            f"{list_names('scans are trained on and held out', pairs)[0]} hold the same voxels.",
            code="split-leak",
            remedy="remove one file of each pair, or list it in cohort.exclude_txt; if they should be two scans, one "
            "was copied over the other.",
        )
    pairs = [f"{one.path} and {other.path}" for one, other in repeated]
    for text in list_names(f"scans are twice in the {repeated[0][0].split} split" if repeated else "", pairs):
        log.warning("%s hold the same voxels", text)
    write_json(split, {"stage": "check_split", "repeated": [[one.path, other.path] for one, other in repeated]})


def _scans(inventory: list[Path]) -> Iterator[tuple[str, _Scan]]:
    for path in inventory:
        for record in load_manifest(path, InventoryFacts).records.values():
            facts = record.facts
            yield facts.image, _Scan(facts.path, facts.subject, facts.split)
