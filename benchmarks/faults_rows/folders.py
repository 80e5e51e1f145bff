"""Folders of CTs: the same scan twice, and patients who meet in many ways.

In a generated folder each patient has one file or two, which are the same scan in another packing, or two scans of the
patient that a table, the names or a link bring together. No patient may be in both splits: either they keep each
patient on one side, or the run stops before anything is trained.
"""

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nibabel
import numpy as np

from medsyn2.cohort.plan import RunPlan, plan_run
from medsyn2.config import InventoryConfig, validate_config
from medsyn2.errors import MedSyn2Error
from medsyn2.evaluation.features.folders import judge_volumes, volumes_in
from medsyn2.facts import InventoryFacts
from medsyn2.stages.check_split import check_split
from medsyn2.stages.inventory import inventory
from medsyn2.store.artefacts import load_manifest

from .row import Bench, Trial, Tried

SPACING = np.diag([-5.0, -5.0, 5.0, 1.0])
PATIENTS = 6
FOLDERS = 200

Patients = dict[str, int]
Image = nibabel.Nifti1Image


def make_chest(seed: int) -> Image:
    """Make a coarse chest in whole HU."""
    hu = np.full((32, 32, 30), -1000.0)
    hu[4:28, 4:28] = 40
    hu[7:13, 8:24, 2:-2] = hu[19:25, 8:24, 2:-2] = -850
    hu = np.rint(hu + np.random.default_rng(seed).normal(0, 15, hu.shape)).astype(np.int16)
    return Image(hu, SPACING)


def _as_it_is(image: Image, path: Path) -> None:
    nibabel.save(image, path)


def _other_level(image: Image, path: Path) -> None:
    path.write_bytes(gzip.compress(image.to_bytes(), 1, mtime=7))


def _other_header(image: Image, path: Path) -> None:
    other = Image(np.asanyarray(image.dataobj), image.affine)
    other.header["descrip"] = b"resaved"
    nibabel.save(other, path)


def _floats(image: Image, path: Path) -> None:
    nibabel.save(Image(image.get_fdata(dtype=np.float32), image.affine), path)


def _shift_units(image: Image, path: Path) -> None:
    stored = Image(np.asanyarray(image.dataobj) + np.int16(1024), image.affine)
    stored.header.set_slope_inter(1, -1024)
    path.write_bytes(stored.to_bytes() if path.suffix == ".nii" else gzip.compress(stored.to_bytes()))


def _reorder_axes(image: Image, path: Path) -> None:
    nibabel.save(image.as_reoriented([[2, -1], [0, 1], [1, -1]]), path)


PACKINGS: dict[str, Callable[[Image, Path], None]] = {
    "the same bytes": _as_it_is,
    "another level of gzip": _other_level,
    "another header": _other_header,
    "floats": _floats,
    "stored values with a slope": _shift_units,
    "another order of the axes": _reorder_axes,
}
"""How a file may hold a scan that another file holds."""


def _another_suffix(image: Image, path: Path) -> None:
    """Put the uncompressed file beside the compressed one."""
    nibabel.save(image, path.with_name(f"{_FIRST}.nii"))


def _another_case(image: Image, path: Path) -> None:
    nibabel.save(image, path.with_name("other.nii.gz"))
    path.with_name("other.nii.gz").rename(path.with_name(f"{_FIRST.upper()}.NII.GZ"))


def _link(image: Image, path: Path) -> None:
    path.symlink_to(_first_below(path))


def _hard_link(image: Image, path: Path) -> None:
    os.link(_first_below(path), path)


def _link_to_folder(image: Image, path: Path) -> None:
    """Link a folder with the file, which then has two paths."""
    (path.parent / "inner").mkdir()
    nibabel.save(image, path.parent / "inner/second.nii.gz")
    path.with_suffix("").with_suffix("").symlink_to(path.parent / "inner")


def _first_below(path: Path) -> Path:
    return next(folder / f"{_FIRST}.nii.gz" for folder in path.parents if (folder / f"{_FIRST}.nii.gz").exists())


_FIRST = "a0"
COPIES = {
    **PACKINGS,
    "another suffix": _another_suffix,
    "another case of the name": _another_case,
    "a link": _link,
    "a hard link": _hard_link,
    "a link to its folder": _link_to_folder,
}
PLACES = ("b9.nii.gz", "z9.nii.gz", "sub/a9.nii.gz")
"""Of the copy: before and after others, and in a folder of its own."""


# ---- duplicates


def copy_scans(bench: Bench) -> list[Trial]:
    """Put a scan twice into a cohort, and into a folder of real volumes that are compared."""
    readers = {"cohort": _read_cohort, "evaluate": _read_evaluated}
    return [
        Trial(way, f"{reader}, {place}", partial(_copy_scan, bench, way, place, read))
        for way in COPIES
        for place in PLACES
        for reader, read in readers.items()
    ]


def _copy_scan(bench: Bench, way: str, place: str, read: Callable[[Path], str], draw: random.Random) -> Tried:
    with _new_folder(bench) as folder:
        cts = folder / "cts"
        for patient in range(PATIENTS):
            nibabel.save(make_chest(patient), make_parent(cts / f"{'abcxyz'[patient]}{patient}.nii.gz"))
        COPIES[way](make_chest(0), make_parent(cts / place))
        try:
            outcome = read(folder)
        except MedSyn2Error as error:
            return Tried("stopped by name", kept=True, note=error.code)
    return Tried(outcome or "TAKEN FOR TWO SCANS", bool(outcome))


def _read_cohort(folder: Path) -> str:
    plan = plan_run(validate_config({"cohort": {"data_dir": "cts", "test_every": 2}}, source="the trial"))
    inventories = take_inventory(plan, folder)
    manifests = [load_manifest(path, InventoryFacts) for path in inventories]
    codes = {refusal.problem.code for one in manifests for refusal in one.refused.values()}
    scans = sum(len(one.records) for one in manifests)
    check_split(inventory=inventories, split=folder / "split.json", settings="")
    repeated = json.loads((folder / "split.json").read_text("utf-8"))["repeated"]
    if codes == {"file-repeated"}:
        return "one in quarantine"
    if repeated:
        return "both in one split, which is said"
    return "one left out, which is said" if scans == PATIENTS and plan.notes() else ""


def _read_evaluated(folder: Path) -> str:
    volumes = volumes_in(folder / "cts", spacing_mm=None, patients={}, real=True)
    judge_volumes(volumes, stated=False, distinct=True)
    return "one left out, which is said" if len(volumes) == PATIENTS else ""


# ---- leaks


def divide_patients(bench: Bench) -> list[Trial]:
    """Generate folders in which patients meet, and look for one in both splits."""
    return [Trial("folder", str(number), partial(_divide, bench)) for number in range(FOLDERS)]


def _divide(bench: Bench, draw: random.Random) -> Tried:
    with _new_folder(bench) as folder:
        settings, patients = make_cohort(folder, draw)
        inventories = take_inventory(plan_run(validate_config({"cohort": settings}, source="the trial")), folder)
        splits = splits_of(inventories, patients)
        stopped = problem_of(inventories, folder)
    divided = any(len(found) > 1 for found in splits.values())
    if len(splits) != PATIENTS or stopped != ("split-leak" if divided else ""):
        return Tried("LEAKED" if divided else "STOPPED WITHOUT REASON", kept=False, note=stopped)
    return Tried("stopped before the trainings" if divided else "each patient in one split", kept=True)


def make_cohort(folder: Path, rng: random.Random) -> tuple[dict[str, object], Patients]:
    """Make a folder in which patients meet in all ways that can be known of; return settings, and patients by path."""
    cts = folder / "cts"
    (cts / "sub").mkdir(parents=True)
    patients: Patients = {}
    rows = ["VolumeName,Subject"]
    for patient in range(PATIENTS):
        first = cts / f"{rng.choice('abcxyz')}{patient}.nii.gz"
        image, scans = make_chest(100 * patient), [first]
        nibabel.save(image, first)
        match rng.choice(["alone", "copy", "table", "bids", "channel", "link", "ct_rate"]):
            case "copy":
                suffix = rng.choice([".nii", ".NII.GZ"])
                scans.append(cts / rng.choice(["", "sub"]) / f"{rng.choice('aqz')}c{patient}{suffix}")
                rng.choice(list(PACKINGS.values()))(image, scans[1])
            case "table":
                scans.append(cts / f"{rng.choice('aqz')}t{patient}.nii.gz")
                nibabel.save(make_chest(100 * patient + 1), scans[1])
                forms = ("{}", "C:\\{}", "'{}'", "sub/{}", "\u200b{} ")
                rows += [f"{rng.choice(forms).format(path.name)},P{patient}" for path in scans]
            case "bids" | "channel" | "ct_rate" as kind:
                named = {
                    "bids": (f"sub-{patient}_ses-1", f"sub-{patient}_ses-2"),
                    "channel": (f"l_{patient}_0000", f"l_{patient}"),
                    "ct_rate": (f"train_{patient}_a_1", f"TRAIN_{patient}_B_1"),
                }[kind]
                scans = [first.rename(cts / f"{named[0]}.nii.gz"), cts / f"sub/{named[1]}.nii.gz"]
                nibabel.save(make_chest(100 * patient + 1), scans[1])
            case "link":
                scans.append(cts / f"{rng.choice('aqz')}l{patient}.nii.gz")
                scans[1].symlink_to(first)
        patients.update({str(path): patient for path in scans})
    settings: dict[str, object] = {"data_dir": str(cts), "test_every": 2, "shard_size": rng.choice([3, 20])}
    if len(rows) > 1:
        (folder / "subjects.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        settings["subjects_csv"] = str(folder / "subjects.csv")
    return settings, patients


def take_inventory(plan: RunPlan, folder: Path) -> list[Path]:
    """Take the inventory of a planned cohort."""
    manifests = [folder / f"inventory/{name}.json" for name in plan.shards]
    for manifest in manifests:
        cases = plan.inventory_cases(manifest.stem)
        inventory(InventoryConfig(), cases=cases, reports=[], labels=[], metadata=[], manifest=manifest, settings="")
    return manifests


def splits_of(inventories: list[Path], patients: Patients) -> dict[int, set[str]]:
    """Return the splits that each patient is in."""
    splits: dict[int, set[str]] = {}
    for path in inventories:
        for record in load_manifest(path, InventoryFacts).records.values():
            splits.setdefault(patients[record.facts.path], set()).add(record.facts.split)
    return splits


def problem_of(inventories: list[Path], folder: Path) -> str:
    """Return the code of what is wrong with the splits; empty if nothing is."""
    try:
        check_split(inventory=inventories, split=folder / "split.json", settings="")
    except MedSyn2Error as error:
        return error.code
    return ""


# ---- all


@contextmanager
def _new_folder(bench: Bench) -> Iterator[Path]:
    """Work in a new folder."""
    folder, before = bench.work / "folder", Path.cwd()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def make_parent(path: Path) -> Path:
    """Return a path whose folder is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
