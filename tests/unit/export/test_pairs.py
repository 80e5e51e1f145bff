"""A case is exported if all asked structures are known in it, and names all that it depends on."""

import json
import shutil

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import ConfigError, GeometryError, IntegrityError
from medsyn2.export.pairs import list_sidecars, pairs_of_run, pairs_of_volumes
from tests.unit.finished_run import AFFINE, box


def test_real_cases_are_those_whose_structures_were_looked_for(run):
    pairs = {pair.name: pair for pair in pairs_of_run(run, ["nodules"])}
    assert set(pairs) == {"real_a", "real_b", "real_c", "synthetic_a_nodules"}
    assert pairs["real_b"].keys == pairs["real_c"].keys == {"patient p2"}
    assert pairs["synthetic_a_nodules"].keys == pairs["real_a"].keys
    volume, labels = pairs["synthetic_a_nodules"].read()
    assert np.array_equal(labels.labels, box("a", 4))
    assert volume.grid == labels.grid
    assert not pairs["real_b"].read()[1].labels.any()


def test_a_contained_structure_covers_the_containing(run):
    pairs = {pair.name: pair for pair in pairs_of_run(run, ["lobes", "heart", "nodules"])}
    assert set(pairs) == {"real_a", "real_b", "real_c"}  # of a generated volume one structure is known
    labels = pairs["real_a"].read()[1].labels
    assert (labels[box("a", 4) > 0] == 7).all()
    assert (labels[(box("a", 12) > 0) & (box("a", 4) == 0)] == 6).all()
    assert set(np.unique(labels)) == {0, 1, 4, 6, 7}


def test_lobes_of_a_sample_are_the_map_that_its_mask_was_made_of(run):
    pairs = {pair.name: pair for pair in pairs_of_run(run, ["lobes"])}
    assert set(np.unique(pairs["synthetic_a_lobes"].read()[1].labels)) == {0, 1, 4}


def test_volumes_of_one_mask_depend_on_each_other(run, volumes):
    pairs = {pair.name: pair for pair in pairs_of_volumes(volumes, ["nodules"])}
    assert set(pairs) == {"synthetic_x_0", "synthetic_sub_x_1", "synthetic_y"}
    assert pairs["synthetic_x_0"].keys == pairs["synthetic_sub_x_1"].keys != pairs["synthetic_y"].keys
    case = next(pair for pair in pairs_of_run(run, ["nodules"], hash_masks=True) if pair.name == "real_a")
    assert pairs["synthetic_y"].keys < case.keys
    assert len(list_sidecars(volumes)) == 5
    assert [pair.name for pair in pairs_of_volumes(volumes, ["rib fracture"])] == ["synthetic_z"]


def test_masks_are_read_when_it_is_asked_what_a_volume_depends_on(volumes, tmp_path):
    shutil.copytree(volumes, tmp_path / "made")
    (tmp_path / "made/y_mask.nii.gz").unlink()
    pairs = {pair.name: pair for pair in pairs_of_volumes(tmp_path / "made", ["nodules"])}
    with pytest.raises(IntegrityError):
        _ = pairs["synthetic_y"].keys


def test_edits_of_one_ct_depend_on_each_other(volumes, tmp_path):
    shutil.copytree(volumes, tmp_path / "made")
    for name in ("x_0", "y"):
        sidecar = tmp_path / f"made/{name}.json"
        sidecar.write_text(
            json.dumps({**json.loads(sidecar.read_text("utf-8")), "edit": {"source_sha256": "s"}}), encoding="utf-8"
        )
    pairs = {pair.name: pair for pair in pairs_of_volumes(tmp_path / "made", ["nodules"])}
    assert pairs["synthetic_x_0"].keys == pairs["synthetic_y"].keys == {"CT s"}
    assert not pairs["synthetic_y"].as_it_is


def test_a_replaced_volume_and_another_grid_are_refused(run, volumes, tmp_path):
    shutil.copytree(volumes, tmp_path / "made")
    write_ct(tmp_path / "made/y.nii.gz", CTVolume(np.zeros((3, 3, 3), np.int16), AFFINE))
    pairs = {pair.name: pair for pair in pairs_of_volumes(tmp_path / "made", ["nodules"])}
    with pytest.raises(IntegrityError) as caught:
        pairs["synthetic_y"].read()
    assert caught.value.code == "volume-changed"
    pair = next(iter(pairs_of_run(run, ["heart"])))
    write_ct(tmp_path / "other.nii.gz", CTVolume(np.zeros((3, 3, 3), np.int16), AFFINE))
    moved = type(pair)(pair.name, pair.kind, pair.find_keys, tmp_path / "other.nii.gz", lambda grid: pair.read()[1])
    with pytest.raises(GeometryError):
        moved.read()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        list(pairs_of_run(tmp_path, ["heart"]))
    assert caught.value.code == "run-without-masks"
