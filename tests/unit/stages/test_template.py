"""A template made of phantoms, or given, lies on the configured grid, centred on the lungs."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from medsyn2.config import GridConfig, RegisterConfig, TemplateConfig
from medsyn2.ct.nifti.files import read_ct, read_labels, write_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import EnvironmentFault, SystematicError
from medsyn2.phantoms import draw_acquisition, draw_subject, scan, write_scan
from medsyn2.stages.template import template

from .conftest import write_inventory

GRID = GridConfig(shape=(48, 64, 64), spacing_mm=(6.5333, 4.9, 4.9))
REGISTER = RegisterConfig(working_spacing_mm=5.0, min_lung_dice=0.6)


@pytest.fixture(scope="module")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """The inventory of three phantoms, and their files."""
    folder = tmp_path_factory.mktemp("cohort")
    scans = {}
    for index in (3, 4, 10):
        subject = draw_subject(0, index)
        acquisition = draw_acquisition(subject, 5.0)
        scans[f"phantom_{index}"] = folder / f"{index}.nii.gz"
        write_scan(scans[f"phantom_{index}"], scan(subject, acquisition).volume, acquisition)
    write_inventory(folder / "0000.json", scans)
    return folder / "0000.json", scans


def make(place: Path, inventory: list[Path], given: list[Path]) -> dict[str, object]:
    config = TemplateConfig(num_cases=3, num_rounds=1)
    template(GRID, config, REGISTER, inventory=inventory, given=given, reference=place, settings="{}")
    return json.loads(place.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def undisturbed(inventories: tuple[Path, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template that was made at once."""
    place = tmp_path_factory.mktemp("undisturbed") / "template.json"
    make(place, [inventories[0]], [])
    return place


def test_template_of_phantoms(inventories: tuple[Path, dict[str, Path]], undisturbed: Path) -> None:
    place, first = undisturbed, json.loads(undisturbed.read_text(encoding="utf-8"))
    volume, lungs = read_ct(place.with_name("template.nii.gz")), read_labels(place.with_name("lungs.nii.gz"))
    assert volume.shape == GRID.shape
    np.testing.assert_allclose(volume.spacing_mm, GRID.spacing_mm, rtol=1e-4)
    middle = np.mean(np.nonzero(lungs.labels), axis=1)
    assert (np.abs(middle - (np.array(GRID.shape) - 1) / 2) < np.array(GRID.shape) * 0.12).all()
    assert np.median(volume.hu[lungs.labels > 0]) < -700
    before = place.stat().st_mtime_ns, place.with_name("template.nii.gz").read_bytes()
    assert make(place, [inventories[0]], []) == first
    assert place.with_name("template.nii.gz").read_bytes() == before[1]


def test_a_killed_job_goes_on_and_ends_with_the_same_bytes(
    inventories: tuple[Path, dict[str, Path]], undisturbed: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "template.json"
    journal = killed.with_name(".template.steps.jsonl")
    for num_lines in (2, 5):
        child = os.fork()
        if child == 0:
            make(killed, [inventories[0]], [])
            os._exit(0)
        while not journal.exists() or len(list(filter(None, journal.read_bytes().splitlines()))) < num_lines:
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    before = journal.read_bytes()
    make(killed, [inventories[0]], [])
    assert b"phantom" in before
    for name in ("template.json", "template.nii.gz", "lungs.nii.gz"):
        assert killed.with_name(name).read_bytes() == undisturbed.with_name(name).read_bytes()
    assert not journal.exists()


def test_given_template_is_brought_to_the_grid(inventories: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    make(tmp_path / "template.json", [], [inventories[1]["phantom_3"]])
    assert read_ct(tmp_path / "template.nii.gz").shape == GRID.shape
    assert set(np.unique(read_labels(tmp_path / "lungs.nii.gz").labels)) == {0, 1, 2}


def test_no_training_case_is_an_error_of_the_set_up(inventories: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    write_inventory(tmp_path / "0000.json", inventories[1], split="test")
    with pytest.raises(EnvironmentFault):
        make(tmp_path / "template.json", [tmp_path / "0000.json"], [])


def test_no_template_is_made_of_a_mirrored_cohort(inventories: tuple[Path, dict[str, Path]], tmp_path: Path) -> None:
    mirrored = {}
    for name, path in inventories[1].items():
        volume = read_ct(path)
        mirrored[name] = tmp_path / f"{name}.nii.gz"
        write_ct(mirrored[name], CTVolume(np.ascontiguousarray(volume.hu[:, :, ::-1]), volume.affine_mm))
    with pytest.raises(SystematicError) as caught:
        write_inventory(tmp_path / "0000.json", mirrored)
    assert caught.value.code == "cohort-disordered"
    with pytest.raises(SystematicError):
        make(tmp_path / "template.json", [tmp_path / "0000.json"], [])
    assert not (tmp_path / "template.nii.gz").exists()
