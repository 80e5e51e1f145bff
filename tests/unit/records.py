"""Manifests of earlier stages for the tests of later ones: typed facts, written by the engine that the stages use."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from medsyn2.ct.anatomy.judgement import NO_ANATOMY
from medsyn2.facts import (
    AnatomyFacts,
    ChannelSums,
    HuScale,
    ImageQuality,
    InventoryFacts,
    LatentOrigin,
    LatentsFacts,
    LatentSums,
    MaskFacts,
    MaskQuality,
    MasksFacts,
    MaskState,
    ReconstructionFacts,
    RegisterFacts,
    Report,
    SampledVolume,
    SampleFacts,
)
from medsyn2.fingerprints import canonical_json
from medsyn2.integrity import read_sealed, write_sealed
from medsyn2.store.artefacts import CaseWork, load_manifest, process_shard
from medsyn2.vocabulary import JOINT, STRUCTURES, Mode, Split, Structure

Facts = TypeVar("Facts")

IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def write_shard(path: Path, kind: type[Facts], cases: Iterable[str], work: Callable[[str, Path], Facts]) -> Path:
    """Write the manifest of a shard: `work` leaves the artefacts of a case in its folder and returns its facts."""
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
    todo = [CaseWork(case, None) for case in cases]
    process_shard(path.parent.name, path, todo, lambda case, folder: work(case.case, folder), settings="", facts=kind)
    return path


def write_manifest(
    path: Path, facts: Mapping[str, Facts], write: Callable[[str, Path], object] = lambda case, folder: None
) -> Path:
    """Write the manifest of a shard: the facts of each case, and the artefacts that `write` leaves in its folder."""

    def work(case: str, folder: Path) -> Facts:
        write(case, folder)
        return facts[case]

    return write_shard(path, type(next(iter(facts.values()))), facts, work)


def change_facts(path: Path, kind: type[Facts], change: Callable[[Facts], Facts]) -> Path:
    """Change the facts of every record of a manifest; the artefacts stay."""
    records = load_manifest(path, kind).records
    values = read_sealed(path)
    for value in values["cases"]:
        value["facts"] = json.loads(canonical_json(change(records[value["case"]].facts)))
    write_sealed(path, values)
    return path


def inventory_facts(
    subject: str = "s",
    split: Split = "train",
    report: Report | None = None,
    *,
    path: str = "ct.nii.gz",
    labels: dict[str, int] | None = None,
    hu: HuScale = HuScale("hu", 1.0, 0.0, -1000.0),
    image: str = "",
    warnings: tuple[str, ...] = (),
    anatomy: AnatomyFacts = NO_ANATOMY,
) -> InventoryFacts:
    """Facts of a readable scan."""
    return InventoryFacts(
        subject=subject,
        split=split,
        path=path,
        shape=(40, 40, 40),
        spacing_mm=(4.0, 4.0, 4.0),
        orientation="LPS",
        hu=hu,
        image=image or f"image of {subject} in {path}",
        affine_repair=None,
        warnings=warnings,
        position=0,
        content=None,
        report=report,
        labels=labels,
        anatomy=anatomy,
    )


def register_facts(
    subject: str = "s",
    split: Split = "train",
    *,
    to_native: tuple[tuple[float, ...], ...] = IDENTITY,
    lung_dice: float = 1.0,
    rotation_deg: float = 0.0,
    warnings: tuple[str, ...] = (),
) -> RegisterFacts:
    """Facts of a case that fits the template."""
    return RegisterFacts(
        subject=subject,
        split=split,
        template_to_native_lps_mm=to_native,
        lung_dice=lung_dice,
        lung_inside=1.0,
        lung_covered=1.0,
        lung_ml=4000.0,
        similarity=1.0,
        rotation_deg=rotation_deg,
        scales=(1.0, 1.0, 1.0),
        orientation={"as given": 1.0},
        start="lungs",
        warnings=warnings,
    )


def masks_facts(subject: str = "s", split: Split = "train", states: Mapping[Structure, MaskState] = {}) -> MasksFacts:
    """Facts of a case with some structures in given states, found by the tool ``classical``."""
    masks = {
        name: MaskFacts(state, 1.0 if state == "present" else 0.0, None if state == "absent" else "classical")
        for name, state in states.items()
    }
    return MasksFacts(subject, split, masks)


def latents_facts(
    subject: str = "s",
    split: Split = "train",
    states: Mapping[Structure, MaskState] = {},
    origin: LatentOrigin = LatentOrigin("tokenizer", (-1024.0, 600.0), None, 0.25, (4, 1, 1, 1)),
) -> LatentsFacts:
    """Facts of the latents of a case; a structure without a state is absent."""
    nothing = ChannelSums(0, (), ())
    found = {name: states.get(name, "absent") for name in STRUCTURES}
    return LatentsFacts(subject, split, found, LatentSums(nothing, {}), origin)


def sample_facts(subject: str, conditions: Mapping[str, Structure | None]) -> SampleFacts:
    """Facts of a held-out case that was sampled with some conditions, each given a mask or none."""
    samples = [
        SampledVolume(name, _mode(name, structure), structure, 11, f"{name}.nii.gz")
        for name, structure in conditions.items()
    ]
    return SampleFacts(subject, "test", tuple(samples))


def _mode(condition: str, structure: Structure | None) -> Mode:
    if structure is None:
        return "neither"
    return "both" if condition in JOINT.values() else "mask"


def reconstruction_facts(masks: Iterable[Structure] = (), subject: str = "s") -> ReconstructionFacts:
    """Facts of a held-out case after the tokenizer, with some masks."""
    quality = MaskQuality("classical", 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, False, False, False)
    image = ImageQuality(1.0, 1.0, 40.0, 40.0, 0.0, 0.0)
    return ReconstructionFacts(subject, "test", image, dict.fromkeys(masks, quality))
