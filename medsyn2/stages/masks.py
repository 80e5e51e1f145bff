"""The stage ``masks``: the nine binary masks of each case on the model's grid."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medsyn2.config import MasksConfig
from medsyn2.ct.masks import labels_on_grid, lobe_boundaries, touching_labels_on_grid, volume_ml
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.overlays import save_overlay
from medsyn2.ct.volume import Affine, CTVolume, LabelMap
from medsyn2.store.artefacts import CaseWork, Manifest, load_manifest, process_shard
from medsyn2.store.read_artefact import read_made_ct, read_made_labels
from medsyn2.types import Bool
from medsyn2.vocabulary import LOBES, STRUCTURES

FORWARDED = ("subject", "split")


def masks(masks: MasksConfig, *, register: Path, segment: Path, manifest: Path, settings: str) -> None:
    """Resample every label map of a shard to the model's grid and make the nine binary masks.

    Each label is resampled once, through the registration's transform. Lobes become their boundaries on the grid; the
    lobe map is kept as well. A structure is *present* and has a file, or *empty* (looked for
    and not found, or smaller than ``masks.min_volume_ml``), or *absent* (no tool made it).

    Args:
        masks: Threshold, boundary width, smallest volume.
        register: Manifest of the stage register, for the grid and the transforms.
        segment: Manifest of the stage segment.
        manifest: Manifest of this stage.
        settings: Canonical JSON of the settings and the code version.
    """
    registered = load_manifest(register)
    segmented = load_manifest(segment)

    def work(case: CaseWork, folder: Path) -> Mapping[str, Any]:
        volume = read_made_ct(registered.path(case.case, "ct.nii.gz"))
        facts = segmented.records[case.case].facts
        to_source = np.array(registered.records[case.case].facts["template_to_native_lps_mm"])
        if facts["space"] == "registered":
            to_source = np.eye(4)
        states = _masks_of_case(case.case, folder, volume, to_source, segmented, masks)
        return {**{name: facts[name] for name in FORWARDED}, "masks": states}

    cases = [
        CaseWork(
            case, [registered.records[case].files, registered.records[case].facts, record.files, record.facts]
        )
        for case, record in segmented.usable().items()
    ]
    process_shard("masks", manifest, cases, work, settings=settings)


def _masks_of_case(
    case: str, folder: Path, volume: CTVolume, to_source: Affine, segmented: Manifest, config: MasksConfig
) -> dict[str, Any]:
    """Write the masks and their overlay, and return the state of each structure."""
    states: dict[str, Any] = {}
    shown: dict[str, Bool[np.ndarray, "d h w"]] = {}
    made = segmented.records[case].facts["structures"]
    for structure in STRUCTURES:
        if structure not in made:
            states[structure] = {"state": "absent", "volume_ml": 0.0, "tool": None}
            continue
        names = {int(label): name for label, name in made[structure]["names"].items()}
        source = read_made_labels(segmented.path(case, f"{structure}.nii.gz"), names)
        if structure == "lobes":
            labels = touching_labels_on_grid(source, volume.grid, to_source, config.threshold)
            mask = lobe_boundaries(labels, config.boundary_dilation_voxels)
            write_labels(folder / "lobe_labels.nii.gz", LabelMap(labels, volume.affine_mm, LOBES))
        else:
            mask = labels_on_grid(source, volume.grid, to_source, config.threshold) > 0
            labels = mask
        size_ml = volume_ml(mask, volume.spacing_mm)
        present = size_ml >= config.min_volume_ml and mask.any()
        if present:
            shown[structure] = labels > 0
            write_labels(
                folder / f"{structure}.nii.gz",
                LabelMap(mask.astype(np.uint8), volume.affine_mm, {1: structure}),
            )
        state = "present" if present else "empty"
        states[structure] = {"state": state, "volume_ml": round(size_ml, 3), "tool": made[structure]["tool"]}
    save_overlay(folder / "overlay.png", volume, shown, case)
    return states
