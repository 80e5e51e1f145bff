"""Folders of anybody's volumes: found by name, checked for HU and for one range."""

import json
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import EnvironmentFault, IntensityError, InvalidVolumeError, TableError
from medsyn2.evaluation.features.extraction import VolumeFile
from medsyn2.evaluation.features.folders import (
    Extent,
    check_patients,
    common_clip_hu,
    judge_volumes,
    read_patients,
    volumes_in,
)
from tests.series import pack, write_series


def chest(offset: int = 0) -> CTVolume:
    rng = np.random.default_rng(0)
    hu = rng.normal(40, 30, (12, 40, 40))
    hu[:, 5:35, 5:35] = rng.normal(-850, 30, (12, 30, 30))
    hu[:, :12] = rng.normal(-1000, 5, (12, 12, 40))
    hu[:, 36:38, 10:30] = rng.normal(700, 30, (12, 2, 20))
    return CTVolume((hu + offset).astype(np.int16), axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0)))


def test_files_are_found_by_name_with_their_patients(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.nii.gz", "deep/a.nii", "c.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("no volume", encoding="utf-8")
        else:
            write_ct(tmp_path / name, chest())
    found = volumes_in(tmp_path, spacing_mm=(1.0, 1.0, 1.0), patients={"b": "p7"})
    assert [(volume.id, volume.patient) for volume in found] == [("b", "p7"), ("deep/a", "deep/a")]
    assert found[0].read().spacing_mm == pytest.approx((1.0, 1.0, 1.0))
    (tmp_path / "b.nii.gz").unlink()
    with pytest.raises(EnvironmentFault, match="1 volumes"):
        volumes_in(tmp_path, spacing_mm=None, patients={})


def test_folders_and_archives_of_dicom_are_volumes_as_files_are(tmp_path: Path) -> None:
    volume = CTVolume(chest().hu.clip(-1024), chest().affine_mm)  # slices store them as unsigned numbers
    write_ct(tmp_path / "0.nii.gz", volume)
    for number, place in enumerate(("1", ".2", ".3"), 1):
        write_series(tmp_path / place, volume.hu, volume.affine_mm, study=f"1.{number}", series=f"1.{number}.1")
    pack(tmp_path / ".2", tmp_path / "2.zip")
    pack(tmp_path / ".3", tmp_path / "3.tar.gz")
    found = volumes_in(tmp_path, spacing_mm=None, patients={"2": "p2"})
    assert [(one.id, one.patient) for one in found] == [("0", "0"), ("1", "1"), ("2", "p2"), ("3", "3")]
    assert len({one.digest() for one in found}) == 4
    for one in found:
        np.testing.assert_array_equal(one.read().hu, volume.hu)
    (tmp_path / "2.zip").write_bytes(b"PK")
    with pytest.raises(InvalidVolumeError, match="archive-unusable"):
        found[2].read()


def test_extent_is_of_all_volumes_and_refuses_what_is_not_hu(tmp_path: Path) -> None:
    write_ct(tmp_path / "a.nii.gz", chest())
    write_ct(tmp_path / "b.nii.gz", chest())
    files = volumes_in(tmp_path, spacing_mm=None, patients={})
    _, extent = judge_volumes(files, stated=False)
    assert extent.low_hu < -1000
    assert 700 < extent.high_hu < 850
    write_ct(tmp_path / "b.nii.gz", CTVolume(chest(1024).hu, chest().affine_mm))
    with pytest.raises(IntensityError, match="state it with in_hu"):
        judge_volumes(volumes_in(tmp_path, spacing_mm=None, patients={}), stated=False, state_with="in_hu")


def test_padding_is_no_evidence_and_is_read_as_air(tmp_path: Path) -> None:
    padded = chest().hu
    padded[:, :, :8] = 0
    write_ct(tmp_path / "a.nii.gz", CTVolume(padded, chest().affine_mm))
    write_ct(tmp_path / "b.nii.gz", chest())
    (first, second), extent = judge_volumes(volumes_in(tmp_path, spacing_mm=None, patients={}), stated=False)
    assert (first.read().hu[:, :, :8] == -1024).all()
    assert second.read() == chest()
    assert extent.low_hu == -1024
    padded = chest(1024).hu
    padded[:, :, :8] = -1000
    write_ct(tmp_path / "a.nii.gz", CTVolume(padded, chest().affine_mm))
    with pytest.raises(IntensityError, match="hu-stored"):
        judge_volumes(volumes_in(tmp_path, spacing_mm=None, patients={}), stated=False)


def test_one_range_for_both_or_none() -> None:
    full, short = Extent(-1024, 3000), Extent(-1024, 600)
    assert common_clip_hu(full, full, (-1024.0, 1024.0)) == (-1024.0, 1024.0)
    assert common_clip_hu(full, short, (-1024.0, 600.0)) == (-1024.0, 600.0)
    with pytest.raises(EnvironmentFault, match=r"the high end is 1024 and 600 HU.*--clip-hu -1024 600"):
        common_clip_hu(full, short, (-1024.0, 1024.0))


def test_patients_are_read_whether_ids_have_suffixes_or_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("id,patient,age\na.nii.gz,NA,4\ndeep/b.nii,p1,5\nc.1,p1,6\n", encoding="utf-8")
    patients = read_patients(table)
    assert patients == {"a": "NA", "deep/b": "p1", "c.1": "p1"}
    volumes = [VolumeFile(name, name, tmp_path / name) for name in patients]
    check_patients(table, patients, volumes)
    assert not caplog.records
    check_patients(table, patients, [*volumes, VolumeFile("d", "d", tmp_path / "d")])
    assert "does not name 1 volumes: d" in caplog.text


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("a,p1\nb,p2\na.nii.gz,p3\n", "row 4, names a again, after row 2"),
        ("a,p1\nb,\n", "row 3, lacks an id or a patient"),
        (".nii.gz,p1\n", "row 2, lacks"),
    ],
)
def test_rows_that_contradict_each_other_are_named(tmp_path: Path, rows: str, named: str) -> None:
    (tmp_path / "patients.csv").write_text(f"id,patient\n{rows}", encoding="utf-8")
    with pytest.raises(TableError, match=rf"patients-contradictory.*patients.csv, {named}"):
        read_patients(tmp_path / "patients.csv")


def test_a_table_of_other_volumes_is_refused(tmp_path: Path) -> None:
    volumes = [VolumeFile(name, name, tmp_path / name) for name in "ab"]
    with pytest.raises(
        TableError, match=r"patients-unmatched.*1 rows that name no volume: row 3, x/b; 2 volumes.*: a, b"
    ):
        check_patients(tmp_path / "patients.csv", {"a": "p", "x/b": "p"}, volumes)


def test_the_same_voxels_twice_are_refused_among_real_volumes_and_said_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_ct(tmp_path / "c.nii.gz", chest())
    write_ct(tmp_path / "again.nii", chest())
    volumes = volumes_in(tmp_path, spacing_mm=None, patients={})
    with pytest.raises(EnvironmentFault, match=r"volume-twice.*again\.nii and .*c\.nii\.gz"):
        judge_volumes(volumes, stated=False, distinct=True)
    judge_volumes(volumes, stated=False)
    assert "hold the same voxels: each counts" in caplog.text
    one_patient = volumes_in(tmp_path, spacing_mm=None, patients={"c": "p", "again": "p"})
    judge_volumes(one_patient, stated=False, distinct=True)


def test_two_volumes_of_one_id_are_refused_and_both_named(tmp_path: Path) -> None:
    for name in ("v.nii", "v.nii.gz", "w.NII.GZ"):
        (tmp_path / name).touch()
    with pytest.raises(EnvironmentFault, match=r"volume-name-twice.*v\.nii.* and .*v\.nii"):
        volumes_in(tmp_path, spacing_mm=None, patients={})
    (tmp_path / "v.nii").unlink()
    assert [volume.id for volume in volumes_in(tmp_path, spacing_mm=None, patients={})] == ["v", "w"]


def test_masks_and_synthetic_volumes_are_known_by_their_sidecars(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.nii.gz", "a_mask.nii.gz", "b.nii.gz", "c.nii.gz"):
        (tmp_path / name).touch()
    (tmp_path / "a.json").write_text(json.dumps({"synthetic": True, "medsyn2": "0.1.0"}), encoding="utf-8")
    assert [one.id for one in volumes_in(tmp_path, spacing_mm=None, patients={})] == ["a", "b", "c"]
    assert [one.id for one in volumes_in(tmp_path, spacing_mm=None, patients={}, real=True)] == ["b", "c"]
    assert "1 synthetic volumes are left out" in caplog.text


def test_label_maps_and_damaged_files_are_named_with_their_folder(tmp_path: Path) -> None:
    for place in ("p1/ct.nii.gz", "p2/ct.nii.gz"):
        (tmp_path / place).parent.mkdir()
        write_ct(tmp_path / place, chest())
    write_ct(tmp_path / "p2/ct.nii.gz", CTVolume((chest().hu > 0).astype(np.int16), chest().affine_mm))
    volumes = volumes_in(tmp_path, spacing_mm=None, patients={})
    with pytest.raises(InvalidVolumeError, match=r"label-map.*p2/ct\.nii\.gz: expected a CT"):
        judge_volumes(volumes, stated=True)
    (tmp_path / "p2/ct.nii.gz").write_bytes((tmp_path / "p1/ct.nii.gz").read_bytes()[:-40])
    with pytest.raises(InvalidVolumeError, match=r"gzip-truncated.*p2/ct\.nii\.gz: expected"):
        judge_volumes(volumes, stated=False)
