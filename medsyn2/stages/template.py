"""The stage ``template``: the CT that all others are registered to, and its lungs."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from medsyn2.cohort.volumes import read_case
from medsyn2.config import GridConfig, RegisterConfig, TemplateConfig
from medsyn2.ct.geometry import nearest_labels
from medsyn2.ct.lungs import LUNG_NAMES, missing_lung, segment_lungs
from medsyn2.ct.nifti.files import read_ct, read_labels, write_ct, write_labels
from medsyn2.ct.registration.affine import ChestCT, lung_box_mm, resample_to_grid, working_ct
from medsyn2.ct.registration.alignment import Alignment
from medsyn2.ct.registration.template import Outcome, Posed, average, check_fit, find_consensus, grid_around
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import CaseError, EnvironmentFault, IntegrityError, reason
from medsyn2.facts import InventoryFacts
from medsyn2.files import lock, sha256_of, write_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.integrity import read_sealed, remedy_by_deleting, write_sealed
from medsyn2.stages.anatomy import stop_if_disordered
from medsyn2.store.artefacts import Manifest, load_manifests, records_of
from medsyn2.store.journal import Journal

log = logging.getLogger(__name__)

VOLUME, LUNGS = "template.nii.gz", "lungs.nii.gz"
_KEPT = ".template.kept.json"
_JOURNAL = ".template.steps.jsonl"


@dataclass(frozen=True)
class Template:
    """The template as later stages read it."""

    volume: CTVolume  # The CT on the grid, in HU
    lungs: LabelMap  # Its left and right lung on the same grid
    files: Mapping[str, str]  # sha256 of its files


def template(
    grid: GridConfig,
    template: TemplateConfig,
    register: RegisterConfig,
    *,
    inventory: list[Path],
    given: list[Path],
    reference: Path,
    settings: str,
) -> None:
    """Make the template: the mean of the first training cases, or a given CT.

    The template's grid is the grid of the model: along the axes of the patient and centred on the lungs. Its CT
    and lungs are written beside `reference` as ``template.nii.gz`` and ``lungs.nii.gz``. If the cases and the
    settings are those of the last run, its files are kept. A killed job goes on with the next case or registration.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    shards = load_manifests(inventory, InventoryFacts)
    stop_if_disordered(shards)
    cases = {} if given else _training_cases(shards, template.num_cases)
    origin = [sha256_of(path) for path in given] or {case: scan.voxels for case, scan in cases.items()}
    made_from = fingerprint("template", settings, origin)
    with lock(reference):
        # Snakemake deletes declared outputs before a job; this copy survives.
        description = _reusable_description(reference.with_name(_KEPT), made_from)
        if description is None:
            spacing_mm = register.working_spacing_mm
            journal = Journal(reference.with_name(_JOURNAL), made_from)
            made = (
                _bring_to_grid(given[0], grid, spacing_mm)
                if given
                else _build(cases, grid, template, register, journal)
            )
            description = _write(reference, made_from, *made)
            journal.remove()
        else:
            log.info("cases and settings are those of the last run; its template is kept")
        write_sealed(reference, description)


def read_template(reference: Path) -> Template:
    """Read the template that `reference` describes.

    Raises:
        IntegrityError: If a file is missing or has changed.
    """
    try:
        files = read_sealed(reference)["files"]
        changed = [name for name in (VOLUME, LUNGS) if sha256_of(reference.with_name(name)) != files[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        changed = [reason(error)]
    if changed:
        raise IntegrityError(
            f"Expected the template that {reference} describes, got other or no files: {', '.join(changed)}.",
            code="template-damaged",
            remedy=remedy_by_deleting(reference),
        )
    lungs = read_labels(reference.with_name(LUNGS), {1: "left_lung", 2: "right_lung"})
    return Template(read_ct(reference.with_name(VOLUME)), lungs, files)


def _training_cases(shards: list[Manifest[InventoryFacts]], wanted: int) -> dict[str, InventoryFacts]:
    listed = records_of(shards)
    found = {case: record.facts for case, record in listed.items() if record.facts.split == "train"}
    if not found:
        raise EnvironmentFault(
            "Expected training cases to make the template from, but the inventory has none that is usable.",
            code="template-no-cases",
            remedy="see the refused files in results/inventory and why they were refused, or give a template "
            "(template.path).",
        )
    return dict(list(found.items())[:wanted])


def _reusable_description(kept: Path, made_from: str) -> dict[str, Any] | None:
    """Return the last description if its files are intact and its inputs are unchanged."""
    try:
        description = read_sealed(kept)
        whole = all(sha256_of(kept.with_name(name)) == digest for name, digest in description["files"].items())
        return description if whole and description["fingerprint"] == made_from else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


Made = tuple[CTVolume, LabelMap, dict[str, Any]]


def _bring_to_grid(path: Path, grid: GridConfig, spacing_mm: float) -> Made:
    """Resample a given template to a grid around its lungs, in the same world coordinates."""
    try:
        volume = read_ct(path)
        lungs = segment_lungs(volume, spacing_mm)
    except CaseError as error:
        raise EnvironmentFault(
            f"template.path is {path}, which cannot be the template: {error.message}",
            code="template-unusable",
            remedy=f"{error.remedy} Or leave template.path empty to build one from the cohort.",
        ) from error
    low, high = lung_box_mm(lungs)
    target = grid_around(grid.shape, grid.spacing_mm, ((low + high) / 2).tolist())
    return (resample_to_grid(volume, target, np.eye(4)), nearest_labels(lungs, target), {"given": sha256_of(path)})


def _build(
    cases: Mapping[str, InventoryFacts],
    grid: GridConfig,
    template: TemplateConfig,
    register: RegisterConfig,
    journal: Journal,
) -> Made:
    """Average cases."""

    def remember(name: str, compute: Callable[[], Outcome]) -> Outcome:
        if name not in journal:
            outcome = compute()
            journal.add(name, outcome.to_json() if isinstance(outcome, Alignment) else outcome)
        kept = journal[name]
        return kept if isinstance(kept, str) else Alignment.from_json(kept)

    target = grid_around(grid.shape, grid.spacing_mm, (0.0, 0.0, 0.0))
    thoraces, refused = _thoraces(cases, register, journal)
    consensus = find_consensus(thoraces, target, num_rounds=template.num_rounds, gates=register, remember=remember)

    def pose_cases() -> Iterator[Posed]:
        for case, matrix in consensus.to_native_lps_mm.items():
            yield read_case(cases[case]), thoraces[case].lungs, matrix

    volume, lungs = average(pose_cases(), target)
    facts = {
        "start": consensus.start,
        "cases": {case: asdict(found.facts()) for case, found in consensus.alignments.items()},
        "refused": {**refused, **consensus.refused},
    }
    return volume, lungs, facts


def _thoraces(
    cases: Mapping[str, InventoryFacts], register: RegisterConfig, journal: Journal
) -> tuple[dict[str, ChestCT], dict[str, str]]:
    """Return the cases at the working spacing, and the error codes of refused ones."""
    thoraces, refused = {}, {}
    for case, scan in cases.items():
        try:
            thorax = _working_ct(case, scan, register.working_spacing_mm, journal)
        except CaseError as error:
            log.warning("template: case %s is not used: %s", case, error)
            refused[case] = error.code
            continue
        if missing_lung(thorax.lungs) is not None:
            refused[case] = "one-lung"
        elif thorax.lung_ml < register.min_lung_ml:
            refused[case] = "lungs-too-small"
        else:
            thoraces[case] = thorax
    if not thoraces:
        raise EnvironmentFault(
            f"Expected a chest among the first {len(cases)} training cases, got none: {refused}.",
            code="template-no-cases",
            remedy="look at these files; raise template.num_cases, lower register.min_lung_ml, or give a template "
            "(template.path).",
        )
    return thoraces, refused


def _working_ct(case: str, scan: InventoryFacts, spacing_mm: float, journal: Journal) -> ChestCT:
    """Return a case at the working spacing with its lungs, from the journal if it is there."""
    if (kept := journal.arrays(case)) is None:
        made = working_ct(read_case(scan), spacing_mm)
        kept = {"hu": made.volume.hu, "hu_affine_mm": made.volume.affine_mm}
        kept |= {"lungs": made.lungs.labels, "lungs_affine_mm": made.lungs.affine_mm}
        journal.add_arrays(case, kept)
    volume = CTVolume(kept["hu"], kept["hu_affine_mm"])
    return ChestCT(volume, LabelMap(kept["lungs"], kept["lungs_affine_mm"], LUNG_NAMES))


def _write(reference: Path, made_from: str, volume: CTVolume, lungs: LabelMap, facts: dict[str, Any]) -> dict[str, Any]:
    check_fit(lungs)
    write_atomically(reference.with_name(VOLUME), partial(write_ct, volume=volume, description="template"))
    write_atomically(reference.with_name(LUNGS), partial(write_labels, label_map=lungs, description="template"))
    low, high = lung_box_mm(lungs)
    description = {
        "stage": "template",
        "fingerprint": made_from,
        "grid": {"shape": list(volume.shape), "affine_mm": volume.affine_mm.tolist()},
        "files": {name: sha256_of(reference.with_name(name)) for name in (VOLUME, LUNGS)},
        "facts": {**facts, "lung_box_mm": (high - low).round(3).tolist(), "lung_ml": round(_ml(lungs), 1)},
    }
    write_sealed(reference.with_name(_KEPT), description)
    return description


def _ml(lungs: LabelMap) -> float:
    return float(np.count_nonzero(lungs.labels)) * float(np.prod(lungs.spacing_mm)) / 1000
