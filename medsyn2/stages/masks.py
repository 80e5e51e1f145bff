"""The stage ``masks``: the nine binary masks of each case on the model's grid."""

from pathlib import Path

import numpy as np

from medsyn2.config import MasksConfig
from medsyn2.ct.masks import labels_on_grid, lobe_boundaries, touching_labels_on_grid, volume_ml
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.planes import save_overlay
from medsyn2.ct.volume import Affine, CTVolume, LabelMap
from medsyn2.facts import (
    CT_FILE,
    OVERLAY_FILE,
    MaskFacts,
    MasksFacts,
    MaskState,
    RegisterFacts,
    SegmentFacts,
    mask_file,
    region_file,
)
from medsyn2.store.artefacts import CaseWork, Record, load_manifest, process_shard
from medsyn2.store.read_artefact import read_made_ct, read_made_labels
from medsyn2.types import Bool
from medsyn2.vocabulary import ANATOMIES, LOBES, STRUCTURES, Structure


def masks(masks: MasksConfig, *, register: Path, segment: Path, manifest: Path, settings: str) -> None:
    """Resample every label map of a shard to the model's grid and make the nine binary masks.

    Each label is resampled once, through the registration's transform. Lobes become their boundaries on the grid; the
    lobe map is kept as well. A structure is *present* and has a file, or *empty* (looked for
    and not found, or smaller than ``masks.min_volume_ml``), or *absent* (no tool made it, or its tool failed). A
    structure that everybody has and of which nothing is left on the grid is absent too.
    """
    registered = load_manifest(register, RegisterFacts).records
    segmented = load_manifest(segment, SegmentFacts).records

    def work(case: CaseWork, folder: Path) -> MasksFacts:
        found, moved = segmented[case.case], registered[case.case]
        volume = read_made_ct(moved.path(CT_FILE))
        to_source = np.array(moved.facts.template_to_native_lps_mm)
        if found.facts.space == "registered":
            to_source = np.eye(4)
        states = _masks_of_case(folder, volume, to_source, found, masks)
        return MasksFacts(found.facts.subject, found.facts.split, states)

    cases = [
        CaseWork(case, [registered[case].files, registered[case].facts, record.files, record.facts])
        for case, record in segmented.items()
    ]
    process_shard("masks", manifest, cases, work, settings=settings, facts=MasksFacts)


def _masks_of_case(
    folder: Path, volume: CTVolume, to_source: Affine, segmented: Record[SegmentFacts], config: MasksConfig
) -> dict[Structure, MaskFacts]:
    """Write the masks and their overlay, and return the state of each structure."""
    states: dict[Structure, MaskFacts] = {}
    shown: dict[str, Bool[np.ndarray, "d h w"]] = {}
    made, failures = segmented.facts.structures, segmented.facts.failures or {}
    for structure in STRUCTURES:
        if structure not in made:
            failure = failures.get(structure)
            why = (failure.tool, failure.message) if failure else (None, None)
            states[structure] = MaskFacts("absent", 0.0, *why)
            continue
        source = read_made_labels(segmented.path(mask_file(structure)), made[structure].names)
        if structure == "lobes":
            labels = touching_labels_on_grid(source, volume.grid, to_source, config.threshold)
            mask = lobe_boundaries(labels, config.boundary_dilation_voxels, config.boundary_shape)
            write_labels(folder / region_file(structure), LabelMap(labels, volume.affine_mm, LOBES))
        else:
            mask = labels_on_grid(source, volume.grid, to_source, config.threshold) > 0
            labels = mask
        size_ml = volume_ml(mask, volume.spacing_mm)
        present = size_ml >= config.min_volume_ml and mask.any()
        if present:
            shown[structure] = labels > 0
            write_labels(
                folder / mask_file(structure), LabelMap(mask.astype(np.uint8), volume.affine_mm, {1: structure})
            )
        lost = structure in ANATOMIES and not mask.any()
        state: MaskState = "present" if present else "absent" if lost else "empty"
        problem = f"every chest has {structure}, but on the grid nothing is left of its mask" if lost else None
        states[structure] = MaskFacts(state, round(size_ml, 3), made[structure].tool, problem)
    save_overlay(folder / OVERLAY_FILE, volume.hu, volume.spacing_mm, shown, segmented.case)
    return states
