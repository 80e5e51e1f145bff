"""The stage ``register``: every CT on the template's grid, by an affine transform."""

import logging
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medsyn2.cohort.volumes import read_case
from medsyn2.config import GridConfig, RegisterConfig
from medsyn2.ct.lungs import missing_lung
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.planes import save_overlay
from medsyn2.ct.registration.affine import (
    ChestCT,
    register_within_gates,
    resample_to_grid,
    working_ct,
    working_template,
)
from medsyn2.ct.registration.alignment import AS_GIVEN, MIRRORED, Alignment
from medsyn2.errors import IntegrityError
from medsyn2.facts import CT_FILE, OVERLAY_FILE, InventoryFacts, RegisterFacts
from medsyn2.stages.template import read_template
from medsyn2.store.artefacts import CaseWork, load_manifest, process_shard

log = logging.getLogger(__name__)


def register(
    grid: GridConfig, register: RegisterConfig, *, inventory: Path, template: Path, manifest: Path, settings: str
) -> None:
    """Register each case of a shard to the template and resample it to the grid, in one interpolation.

    The affine is estimated at the working spacing: lungs to lungs, then intensities. A case that fails the quality
    gates is quarantined; one that seems mirrored is kept, with a warning. A picture shows the template's lungs on each
    registered CT.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    reference = read_template(template)
    found = reference.volume.grid
    if found.shape != grid.shape or not np.allclose(found.spacing_mm, grid.spacing_mm, rtol=1e-4):
        raise IntegrityError(
            f"Expected a template of {grid.shape} voxels of {grid.spacing_mm} mm (section grid), got "
            f"{found.shape} of {found.spacing_mm}.",
            code="template-other-grid",
            remedy="run the stage template with this configuration first.",
        )

    outlines = {name: reference.lungs.binary(name) for name in reference.lungs.names.values()}

    @cache
    def load_chest() -> ChestCT:
        return working_template(reference.volume, reference.lungs, register.working_spacing_mm)

    def work(case: CaseWork, folder: Path) -> RegisterFacts:
        scan = listed[case.case].facts
        volume = read_case(scan)
        moving = working_ct(volume, register.working_spacing_mm)
        alignment = register_within_gates(moving, load_chest(), register)
        moved = resample_to_grid(volume, reference.volume.grid, alignment.template_to_native_lps_mm)
        write_ct(folder / CT_FILE, moved, description="registered")
        label = caption(case.case, alignment, register)
        save_overlay(folder / OVERLAY_FILE, moved.hu, moved.spacing_mm, outlines, label)
        warnings = [*_warnings(alignment), *_one_lung(moving)]
        for warning in warnings:
            log.warning("%s: %s", case.case, warning)
        return RegisterFacts(scan.subject, scan.split, **vars(alignment.facts()), warnings=tuple(warnings))

    listed = load_manifest(inventory, InventoryFacts).records
    cases = [
        CaseWork(case, [record.facts.voxels, record.facts.subject, record.facts.split, reference.files])
        for case, record in listed.items()
    ]
    process_shard("register", manifest, cases, work, settings=settings, facts=RegisterFacts)


def caption(case: str, alignment: Alignment, gates: RegisterConfig) -> str:
    """Return the figures of an alignment and its gates, for the picture."""
    largest, _, smallest = alignment.scales
    return (
        f"{case}: the template's lungs on the registered CT\n"
        f"lung Dice {alignment.lung_dice:.2f} (>= {gates.min_lung_dice:g})   "
        f"similarity {alignment.similarity:.2f} (>= {gates.min_similarity:g})   "
        f"rotation {alignment.rotation_deg:.0f} deg (<= {gates.max_rotation_deg:g})   "
        f"scale {smallest:.2f} to {largest:.2f} ({gates.scale_range[0]:g} to {gates.scale_range[1]:g})   "
        f"covered {alignment.lung_covered:.0%} (>= {gates.min_lung_covered:.0%})   "
        f"inside {alignment.lung_inside:.0%} (>= {gates.min_lung_inside:.0%})"
    )


def _one_lung(moving: ChestCT) -> list[str]:
    missing = missing_lung(moving.lungs)
    if missing is None:
        return []
    return [f"next to nothing of the {missing} was found: that side is solid, full of fluid, or was removed"]


def _warnings(alignment: Alignment) -> list[str]:
    if not alignment.seems_mirrored:
        return []
    numbers = f"{alignment.orientation[MIRRORED]:.2f} against {alignment.orientation[AS_GIVEN]:.2f}"
    return [f"resembles the template more with left and right exchanged ({numbers}): situs inversus or a wrong header"]
