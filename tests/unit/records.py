"""Manifests of earlier stages for the tests of later ones: typed facts, written by the engine that stages use."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from medsyn2.facts import HuScale, InventoryFacts, MaskFacts, MasksFacts, MaskState, RegisterFacts, Report
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.vocabulary import STRUCTURES, Split, Structure

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


def inventory_facts(
    subject: str, split: Split, report: Report | None = None, **changes: object
) -> InventoryFacts:
    """Return the facts of a plain scan."""
    facts = InventoryFacts(
        subject=subject,
        split=split,
        path=f"{subject}.nii.gz",
        shape=(8, 8, 8),
        spacing_mm=(1.0, 1.0, 1.0),
        orientation="LPS",
        hu=HuScale("hu", 1.0, 0.0, -1000.0),
        affine_repair=None,
        warnings=(),
        position=0,
        content=None,
        report=report,
        labels=None,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def register_facts(subject: str, split: Split) -> RegisterFacts:
    """Return the facts of a case that lay where the template is."""
    return RegisterFacts(
        subject=subject,
        split=split,
        template_to_native_lps_mm=tuple(tuple(float(i == j) for j in range(4)) for i in range(4)),
        lung_dice=1.0,
        lung_inside=1.0,
        lung_covered=1.0,
        lung_ml=4000.0,
        similarity=1.0,
        rotation_deg=0.0,
        scales=(1.0, 1.0, 1.0),
        orientation={},
        start="identity",
        warnings=(),
    )


def masks_facts(subject: str, split: Split, states: Mapping[Structure, MaskState]) -> MasksFacts:
    """Return the facts of a case whose masks have such states; a structure without one was not looked for."""
    masks = {name: MaskFacts(states[name], 1.0, "classical") for name in STRUCTURES if name in states}
    return MasksFacts(subject, split, masks)
