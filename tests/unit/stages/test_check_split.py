"""The same voxels in both splits stop the run before anything is trained, however they came there."""

import gzip
import json
import random
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsyn2.cohort.plan import RunPlan, plan_run
from medsyn2.config import InventoryConfig, validate_config
from medsyn2.errors import EnvironmentFault, MedSyn2Error
from medsyn2.facts import InventoryFacts
from medsyn2.stages.check_split import check_split
from medsyn2.stages.inventory import inventory
from medsyn2.store.artefacts import load_manifest
from tests.unit.records import inventory_facts, write_shard

Facts = dict[str, InventoryFacts]


def shard(folder: Path, number: int, facts: Facts) -> Path:
    """Write the manifest of a shard."""
    path = folder / f"{number:04d}.json"
    write_shard(path, InventoryFacts, list(facts), lambda case, _: facts[case])
    return path


def check(folder: Path, *shards: Facts) -> list[list[str]]:
    """Check these shards and return the repeated scans."""
    inventories = [shard(folder, number, facts) for number, facts in enumerate(shards)]
    check_split(inventory=inventories, split=folder / "split.json", settings="")
    return json.loads((folder / "split.json").read_text())["repeated"]


def test_a_scan_of_both_splits_in_two_shards_is_refused_with_its_files(tmp_path: Path) -> None:
    one = inventory_facts(split="train", image="x", path="a.nii.gz")
    with pytest.raises(EnvironmentFault, match=r"split-leak.*a\.nii\.gz \(train\) and b\.nii \(test\)"):
        check(tmp_path, {"a": one}, {"b": inventory_facts(split="test", image="x", path="b.nii")})
    assert not (tmp_path / "split.json").exists()


def test_a_scan_twice_in_one_split_is_said_and_distinct_ones_pass(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts = {name: inventory_facts(image=name, path=name) for name in "ab"}
    assert check(tmp_path, facts) == []
    assert not caplog.records
    assert check(tmp_path, facts, {"c": inventory_facts(image="a", path="c")}) == [["a", "c"]]
    assert "a and c hold the same voxels" in caplog.text


SPACING = np.diag([-5.0, -5.0, 5.0, 1.0])


def chest(seed: int) -> nibabel.Nifti1Image:
    """A coarse chest in whole HU."""
    hu = np.full((32, 32, 30), -1000.0)
    hu[4:28, 4:28] = 40
    hu[7:13, 8:24, 2:-2] = hu[19:25, 8:24, 2:-2] = -850
    hu = np.rint(hu + np.random.default_rng(seed).normal(0, 15, hu.shape)).astype(np.int16)
    return nibabel.Nifti1Image(hu, SPACING)


def _as_it_is(image: nibabel.Nifti1Image, path: Path) -> None:
    nibabel.save(image, path)


def _other_level(image: nibabel.Nifti1Image, path: Path) -> None:
    path.write_bytes(gzip.compress(image.to_bytes(), 1, mtime=7))


def _other_header(image: nibabel.Nifti1Image, path: Path) -> None:
    image.header["descrip"] = b"resaved"
    nibabel.save(image, path)


def _floats(image: nibabel.Nifti1Image, path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine), path)


def _shifted_units(image: nibabel.Nifti1Image, path: Path) -> None:
    stored = nibabel.Nifti1Image(np.asanyarray(image.dataobj) + np.int16(1024), image.affine)
    stored.header.set_slope_inter(1, -1024)
    path.write_bytes(stored.to_bytes() if path.suffix == ".nii" else gzip.compress(stored.to_bytes()))


def _turned(image: nibabel.Nifti1Image, path: Path) -> None:
    nibabel.save(image.as_reoriented([[2, -1], [0, 1], [1, -1]]), path)


WAYS = (_as_it_is, _other_level, _other_header, _floats, _shifted_units, _turned)
"""How a file may hold a scan that another file holds."""

Patients = dict[str, int]


def make_cohort(folder: Path, rng: random.Random) -> tuple[dict[str, object], Patients]:
    """Make a folder in which patients meet in all ways that can be known of; return settings, and patients by path."""
    cts = folder / "cts"
    (cts / "sub").mkdir(parents=True)
    patients: Patients = {}
    rows = ["VolumeName,Subject"]
    for patient in range(6):
        first = cts / f"{rng.choice('abcxyz')}{patient}.nii.gz"
        image, scans = chest(100 * patient), [first]
        nibabel.save(image, first)
        match rng.choice(["alone", "copy", "table", "bids", "channel", "link", "ct_rate"]):
            case "copy":
                suffix = rng.choice([".nii", ".NII.GZ"])
                scans.append(cts / rng.choice(["", "sub"]) / f"{rng.choice('aqz')}c{patient}{suffix}")
                rng.choice(WAYS)(image, scans[1])
            case "table":
                scans.append(cts / f"{rng.choice('aqz')}t{patient}.nii.gz")
                nibabel.save(chest(100 * patient + 1), scans[1])
                forms = ("{}", "C:\\{}", "'{}'", "sub/{}", "\u200b{} ")
                rows += [f"{rng.choice(forms).format(path.name)},P{patient}" for path in scans]
            case "bids" | "channel" | "ct_rate" as kind:
                named = {
                    "bids": (f"sub-{patient}_ses-1", f"sub-{patient}_ses-2"),
                    "channel": (f"l_{patient}_0000", f"l_{patient}"),
                    "ct_rate": (f"train_{patient}_a_1", f"TRAIN_{patient}_B_1"),
                }[kind]
                scans = [first.rename(cts / f"{named[0]}.nii.gz"), cts / f"sub/{named[1]}.nii.gz"]
                nibabel.save(chest(100 * patient + 1), scans[1])
            case "link":
                scans.append(cts / f"{rng.choice('aqz')}l{patient}.nii.gz")
                scans[1].symlink_to(first)
        patients.update({str(path): patient for path in scans})
    settings: dict[str, object] = {"data_dir": str(cts), "test_every": 2, "shard_size": rng.choice([3, 20])}
    if len(rows) > 1:
        (folder / "subjects.csv").write_text("\n".join(rows) + "\n")
        settings["subjects_csv"] = str(folder / "subjects.csv")
    return settings, patients


def take_inventory(plan: RunPlan, folder: Path) -> list[Path]:
    """Take the inventory of a planned cohort."""
    manifests = [folder / f"inventory/{name}.json" for name in plan.shards]
    for manifest in manifests:
        cases = plan.inventory_cases(manifest.stem)
        inventory(InventoryConfig(), cases=cases, reports=[], labels=[], metadata=[], manifest=manifest, settings="")
    return manifests


def problem_of(inventories: list[Path], folder: Path) -> str:
    """Return the code of what is wrong with the splits; empty if nothing is."""
    try:
        check_split(inventory=inventories, split=folder / "split.json", settings="")
    except MedSyn2Error as error:
        return error.code
    return ""


@pytest.mark.parametrize("seed", range(12))
def test_no_patient_is_in_both_splits_of_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Either the splits keep patients apart, or the run stops before anything is trained."""
    monkeypatch.chdir(tmp_path)
    settings, patients = make_cohort(tmp_path, random.Random(seed))
    inventories = take_inventory(plan_run(validate_config({"cohort": settings}, source="test")), tmp_path)
    splits: dict[int, set[str]] = {}
    for path in inventories:
        for record in load_manifest(path, InventoryFacts).records.values():
            splits.setdefault(patients[record.facts.path], set()).add(record.facts.split)
    assert len(splits) == 6
    divided = any(len(found) > 1 for found in splits.values())
    assert problem_of(inventories, tmp_path) == ("split-leak" if divided else "")
