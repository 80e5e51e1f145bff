"""Manifests of earlier stages for the tests of later ones: typed facts, written by the engine that stages use."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from medsyn2.store.artefacts import CaseWork, process_shard

Facts = TypeVar("Facts")


def write_manifest(
    path: Path,
    facts: Mapping[str, Facts],
    write: Callable[[str, Path], object] = lambda case, folder: None,
) -> Path:
    """Write the manifest of a shard: the facts of each case, and the artefacts that `write` leaves in its folder."""

    def work(case: CaseWork, folder: Path) -> Facts:
        write(case.case, folder)
        return facts[case.case]

    kind = type(next(iter(facts.values()), None))
    process_shard(
        path.parent.name, path, [CaseWork(case, None) for case in facts], work, settings="", facts=kind
    )
    return path
