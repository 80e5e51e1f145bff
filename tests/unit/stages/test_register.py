"""Cases come to the template's grid, and what does not fit is refused with its reason."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.config import GridConfig, InventoryConfig, RegisterConfig, TemplateConfig
from medsyn2.ct.nifti.files import read_ct, write_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import IntegrityError
from medsyn2.facts import RegisterFacts
from medsyn2.phantoms import draw_acquisition, draw_subject, scan, write_scan
from medsyn2.stages.register import register
from medsyn2.stages.template import template
from medsyn2.store.artefacts import load_manifest

from .conftest import write_inventory

GRID = GridConfig(shape=(48, 64, 64), spacing_mm=(6.5333, 4.9, 4.9))
REGISTER = RegisterConfig(working_spacing_mm=5.0, min_lung_dice=0.6)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The inventory of two phantoms, one mirrored, one upside down, and a body without lungs; and a template."""
    folder = tmp_path_factory.mktemp("shard")
    scans = {}
    for index in (3, 10):
        subject = draw_subject(0, index)
        acquisition = draw_acquisition(subject, 5.0)
        scans[f"phantom_{index}"] = folder / f"{index}.nii.gz"
        write_scan(scans[f"phantom_{index}"], scan(subject, acquisition).volume, acquisition)
    upright = read_ct(scans["phantom_10"])
    scans["mirrored"] = folder / "mirrored.nii.gz"
    write_ct(scans["mirrored"], CTVolume(np.ascontiguousarray(upright.hu[:, :, ::-1]), upright.affine_mm))
    scans |= {"upside_down": folder / "down.nii.gz", "no_lungs": folder / "body.nii.gz"}
    write_ct(scans["upside_down"], CTVolume(np.ascontiguousarray(upright.hu[::-1]), upright.affine_mm))
    wall = CTVolume(upright.hu.copy(), upright.affine_mm)
    wall.hu[:, 20:-20, 20:-20] = 40
    write_ct(scans["no_lungs"], wall)
    # The inventory would refuse the CT that lies upside down.
    write_inventory(folder / "0000.json", scans, config=InventoryConfig(orientation="trust"))
    config = TemplateConfig(num_cases=1, num_rounds=1)
    given = [scans["phantom_3"]]
    template(GRID, config, REGISTER, inventory=[], given=given, reference=folder / "template.json", settings="{}")
    return folder / "0000.json", folder / "template.json"


def test_good_cases_pass_and_bad_ones_are_refused_with_their_reason(shard: tuple[Path, Path], tmp_path: Path) -> None:
    manifest = tmp_path / "0000.json"
    register(GRID, REGISTER, inventory=shard[0], template=shard[1], manifest=manifest, settings="{}")
    found = load_manifest(manifest, RegisterFacts)
    assert set(found.records) == {"phantom_3", "phantom_10", "mirrored"}
    warned = {case: record.facts.warnings for case, record in found.records.items()}
    assert warned["phantom_3"] == warned["phantom_10"] == ()
    assert "left and right exchanged" in warned["mirrored"][0]
    volume = read_ct(found.path("phantom_10", "ct.nii.gz"))
    assert volume.shape == GRID.shape
    assert volume.hu.dtype == np.int16
    assert found.path("phantom_10", "overlay.png").read_bytes().startswith(b"\x89PNG")
    facts = found.records["phantom_3"].facts
    assert facts.lung_dice > 0.85
    assert np.array(facts.template_to_native_lps_mm).shape == (4, 4)
    assert (facts.subject, facts.split) == ("s_phantom_3", "train")
    problems = {case: refusal.problem for case, refusal in found.refused.items()}
    assert set(problems) == {"upside_down", "no_lungs"}
    assert len({problem.code for problem in problems.values()}) == 2
    assert all(problem.remedy for problem in problems.values())


def test_template_of_another_grid_is_refused(shard: tuple[Path, Path], tmp_path: Path) -> None:
    other = GridConfig(shape=(32, 48, 48), spacing_mm=(9.8, 6.5, 6.5))
    with pytest.raises(IntegrityError, match="grid"):
        register(other, REGISTER, inventory=shard[0], template=shard[1], manifest=tmp_path / "0.json", settings="{}")
