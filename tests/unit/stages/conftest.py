"""One shard as registration leaves it: a phantom, and a body without lungs, on a small grid."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from medsyn2.cohort.volumes import read_case
from medsyn2.config import InventoryConfig
from medsyn2.ct.geometry import resample_ct
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, Grid, axis_aligned_affine
from medsyn2.facts import CT_FILE, InventoryFacts, RegisterFacts
from medsyn2.phantoms import Phantom, draw_acquisition, draw_subject, scan, write_scan
from medsyn2.stages.inventory import inventory
from medsyn2.store.artefacts import load_manifest
from tests.unit.records import register_facts, write_shard

PHANTOM, BODY = "phantom_00003", "body"
SPACING_MM = 6.0
SHIFT_MM = (40.0, -25.0, 300.0)


@dataclass(frozen=True)
class RegisteredShard:
    """Manifests of one shard, and what is true of its phantom.

    Attributes:
        inventory: Manifest of the stage inventory.
        register: Manifest of the stage register.
        grid: The model's grid.
        template_to_native_lps_mm: Of both cases, a shift.
        phantom: The scan with its ground truth.
    """

    inventory: Path
    register: Path
    grid: Grid
    template_to_native_lps_mm: np.ndarray
    phantom: Phantom


def write_inventory(
    manifest: Path, scans: dict[str, Path], split: str = "train", config: InventoryConfig = InventoryConfig()
) -> None:
    cases = [
        {"id": case, "path": str(path), "subject": f"s_{case}", "split": split, "position": position}
        for position, (case, path) in enumerate(scans.items())
    ]
    inventory(config, cases=json.dumps(cases), reports=[], labels=[], metadata=[], manifest=manifest, settings="")


@pytest.fixture(scope="session")
def registered_shard(tmp_path_factory) -> RegisteredShard:
    root = tmp_path_factory.mktemp("shard")
    subject = draw_subject(0, 3)
    acquisition = draw_acquisition(subject, SPACING_MM)
    phantom = scan(subject, acquisition)
    scans = {case: root / f"{case}.nii.gz" for case in (PHANTOM, BODY)}
    write_scan(scans[PHANTOM], phantom.volume, acquisition)
    noise = np.random.default_rng(0).normal(scale=12, size=(40, 40, 40))
    soft = np.rint(np.where(np.pad(np.ones((40, 24, 24), bool), ((0, 0), (8, 8), (8, 8))), 40, -1000) + noise)
    first_mm = phantom.volume.affine_mm[:3, 3]
    write_ct(scans[BODY], CTVolume(soft.astype(np.int16), axis_aligned_affine((SPACING_MM,) * 3, tuple(first_mm))))
    manifest = root / "inventory" / "0000.json"
    write_inventory(manifest, scans)

    transform = np.eye(4)
    transform[:3, 3] = SHIFT_MM
    extent_mm = np.multiply(phantom.volume.shape, phantom.volume.spacing_mm)
    spacing_mm = (8.0, 7.0, 7.0)
    shape = tuple(int(size) for size in extent_mm // spacing_mm)
    grid = Grid(shape, axis_aligned_affine(spacing_mm, tuple(first_mm - SHIFT_MM)))
    records = load_manifest(manifest, InventoryFacts).records

    def work(case, folder):
        scan = records[case].facts
        write_ct(folder / CT_FILE, resample_ct(read_case(scan), grid, transform))
        return register_facts(scan.subject, scan.split, to_native=tuple(map(tuple, transform.tolist())))

    register = write_shard(root / "register" / "0000.json", RegisterFacts, records, work)
    return RegisteredShard(manifest, register, grid, transform, phantom)
