"""Which files of a folder are volumes."""

import json
import os
from pathlib import Path

from medsyn2.cohort.folder import list_folder


def touch(folder: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def volumes(folder: Path, *exclude_dirs: str) -> list[str]:
    """The volumes of a folder, by their path below it."""
    return [path.relative_to(folder).as_posix() for path in list_folder(folder, exclude_dirs).volumes]


def test_a_folder_is_listed_once_even_where_links_point_upwards(tmp_path: Path) -> None:
    touch(tmp_path, "data/b/2.nii", "elsewhere/3.nii")
    for name, target in (("a", "data/b"), ("b/up", "data"), ("c", "elsewhere")):
        (tmp_path / "data" / name).symlink_to(tmp_path / target)
    assert volumes(tmp_path / "data") == ["b/2.nii", "c/3.nii"]


def test_folders_can_be_left_out_and_other_files_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "1.nii", "sub/ts_seg/1.nii", "2.DCM", "sub/3.dcm", "readme", ".DS_Store")
    found = list_folder(tmp_path, ("ts_seg",))
    assert found.volumes == [tmp_path / "1.nii"]
    assert found.others == {".dcm": 2, "no suffix": 1}
    assert list(found.notes()) == [f"{tmp_path} holds files that are not looked at: 2 .dcm, 1 no suffix"]


def test_folder_is_listed_with_subfolders_and_links_and_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2.nii", "a/1.NII.GZ", "a/.hidden.nii.gz", "a/readme.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/3.nii").touch()
    (tmp_path / "data/linked").symlink_to(tmp_path / "outside")
    assert volumes(tmp_path / "data") == ["a/1.NII.GZ", "b/2.nii", "linked/3.nii"]


def test_stores_trash_and_copies_of_systems_are_not_searched(tmp_path: Path) -> None:
    hidden = (
        ".git/annex/objects/0a/k/k.nii.gz",
        ".dvc/cache/k.nii",
        ".ipynb_checkpoints/a-checkpoint.nii",
        ".Trash/a.nii",
    )
    touch(tmp_path, *hidden, "__MACOSX/a.nii.gz", "@eaDir/a.nii.gz", "a.nii.gz", "._a.nii.gz")
    assert volumes(tmp_path) == ["a.nii.gz"]
    touch(tmp_path / ".cache/cts", "b.nii")
    assert volumes(tmp_path / ".cache/cts") == ["b.nii"]  # whoever names a hidden folder means it


def test_a_link_into_a_store_is_the_case_and_a_second_name_of_a_volume_is_none(tmp_path: Path) -> None:
    touch(tmp_path, ".git/annex/objects/k.nii.gz", "raw/1.nii.gz", "raw/2.nii.gz")
    for name, target in {
        "named.nii.gz": ".git/annex/objects/k.nii.gz",
        "again.nii.gz": ".git/annex/objects/k.nii.gz",
        "by_patient/p1.nii.gz": "raw/1.nii.gz",
        "lost.nii.gz": "nowhere.nii.gz",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / target)
    assert volumes(tmp_path) == ["again.nii.gz", "lost.nii.gz", "raw/1.nii.gz", "raw/2.nii.gz"]
    (note,) = list_folder(tmp_path).notes()
    assert note.startswith("left out: 2 links to files that are volumes themselves")


def test_results_of_any_run_are_no_volumes_unless_they_are_asked_for(tmp_path: Path) -> None:
    touch(tmp_path, "old_results/inventory/order.txt", "old_results/register/0000/a/ct.nii.gz", "a.nii.gz")
    touch(tmp_path, "copied/0000.json", "copied/.0000.json.lock", "copied/0000/a/ct.nii.gz")
    touch(tmp_path, "patients/0001.json", "patients/0001/ct.nii.gz")  # a folder and its description by the user
    assert volumes(tmp_path) == ["a.nii.gz", "patients/0001/ct.nii.gz"]
    assert volumes(tmp_path / "old_results/register") == volumes(tmp_path / "copied") == ["0000/a/ct.nii.gz"]


def test_masks_that_were_generated_with_a_volume_are_known_by_its_sidecar(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "a_mask.nii.gz", "a_mask_before_1.nii.gz", "b.nii.gz", "b_mask.nii.gz", "c_mask.nii")
    (tmp_path / "a.json").write_text(json.dumps({"synthetic": True, "medsyn2": "0.1.0"}), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps({"Modality": "CT"}), encoding="utf-8")
    assert volumes(tmp_path) == ["a.nii.gz", "b.nii.gz", "b_mask.nii.gz", "c_mask.nii"]


def test_label_maps_are_known_by_the_layout_of_nnu_net_and_the_decathlon(tmp_path: Path) -> None:
    touch(tmp_path, "task/imagesTr/l_1_0000.nii.gz", "task/imagesTr/l_2_0000.nii.gz", "task/labelsTr/l_1.nii.gz")
    touch(tmp_path, "msd/imagesTr/l_1.nii.gz", "msd/labelsTr/l_1.nii.gz", "msd/imagesTs/l_3.nii.gz")
    touch(tmp_path, "own/images/1.nii", "own/Masks/1.nii", "labels/x.nii", "other/images/1.nii", "other/masks/2.nii")
    found = list_folder(tmp_path)
    assert sorted(found.label_maps) == [tmp_path / name for name in ("msd/labelsTr", "own/Masks", "task/labelsTr")]
    assert "labels/x.nii" in volumes(tmp_path)  # no images beside it: its voxels will tell
    assert "other/masks/2.nii" in volumes(tmp_path)
    assert not any("msd/labelsTr" in name for name in volumes(tmp_path))


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii", "closed/b.nii")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "closed").chmod(0)
    found = list_folder(tmp_path)
    if os.access(tmp_path / "closed", os.R_OK):  # as root, whom nothing is closed to
        assert [path.name for path in found.volumes] == ["a.nii", "b.nii"]
    else:
        assert any("closed" in note for note in found.notes())
    (tmp_path / "closed").chmod(0o700)
