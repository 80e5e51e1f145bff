"""The files of a cohort: excluded ones, reconstructions, and files that cannot be told apart."""

import json
from pathlib import Path

import pytest

from medsyn2.cohort.selection import case_ids, first_reconstructions, select_files
from medsyn2.cohort.shards import append_to_order
from medsyn2.config import CohortConfig
from medsyn2.errors import ConfigError

FOLDERS = ("train", "train_fixed", "ts_seg/ts_total/train_fixed")


def files(*ids: str) -> dict[str, Path]:
    """Files named after their ids."""
    return {case: Path(f"{case}.nii.gz") for case in ids}


def touch(folder: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def select(folder: Path, order: dict[str, str] | None = None, **settings: object) -> dict[str, Path]:
    """Select the files of a folder."""
    return select_files(CohortConfig(data_dir=folder, **settings), Path(), order or {}).files


def test_first_reconstruction_is_the_lowest_number() -> None:
    found = files("train_1_a_2", "train_1_a_1", "train_1_b_10", "TRAIN_1_B_9", "train_1_a_3", "other")
    kept, later = first_reconstructions(found)
    assert sorted(kept) == ["TRAIN_1_B_9", "other", "train_1_a_1"]
    assert later == {
        "train_1_a_1": (found["train_1_a_2"], found["train_1_a_3"]),
        "TRAIN_1_B_9": (found["train_1_b_10"],),
    }


def test_ids_are_safe_and_unique(tmp_path: Path) -> None:
    names = ["a;touch x.nii.gz", "$(id).nii", "-x.nii.gz", "sub/CT.nii.gz", "other/ct.nii.gz", "fine.nii.gz"]
    ids = case_ids([tmp_path / name for name in names], tmp_path, {})
    assert len(ids) == len({case.lower() for case in ids}) == len(names)
    assert "fine" in ids
    assert all(set(case) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") for case in ids)
    assert not any(case.startswith(("-", ".")) for case in ids)


def test_a_case_keeps_its_id_when_a_file_of_its_name_joins_and_moves_with_its_file(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.nii.gz", "x/b.nii.gz")
    order = append_to_order({}, select(tmp_path), tmp_path)
    touch(tmp_path, "w/A.nii.gz")
    joined = select(tmp_path, order)
    assert joined["a"] == tmp_path / "x/a.nii.gz"
    newcomer = next(case for case, path in joined.items() if path == tmp_path / "w/A.nii.gz")
    assert newcomer.startswith("A-")
    order = append_to_order(order, joined, tmp_path)
    (tmp_path / "x/a.nii.gz").unlink()
    assert select(tmp_path, order) == {newcomer: joined[newcomer], "b": joined["b"]}
    touch(tmp_path, "y/a.nii.gz")
    assert select(tmp_path, order)["a"] == tmp_path / "y/a.nii.gz"


def test_two_files_of_one_ct_rate_name_are_refused_until_one_folder_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{folder}/train_1/train_1_a/train_1_a_{n}.nii.gz" for folder in FOLDERS for n in (1, 2)))
    with pytest.raises(ConfigError, match=r"/train/.*train_1_a_1.*/train_fixed/.*cohort\.exclude_dirs"):
        select(tmp_path)
    path = tmp_path / "train_fixed/train_1/train_1_a/train_1_a_1.nii.gz"
    assert select(tmp_path, exclude_dirs=("train", "ts_seg")) == {"train_1_a_1": path}


def test_missing_or_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        select(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no CT"):
        select(tmp_path)
    touch(tmp_path, "ts_seg/a.nii")
    with pytest.raises(ConfigError, match=r"outside the folders \['ts_seg'\]"):
        select(tmp_path)


def test_excluded_files_and_later_reconstructions_are_left_out(tmp_path: Path) -> None:
    for name in ("train_1_a_1", "train_1_a_2", "train_2_a_1"):
        (tmp_path / f"{name}.nii.gz").touch()
    (tmp_path / "no_chest.txt").write_text("# heads\nsomewhere/train_2_a_1.nii.gz\n\n", encoding="utf-8")
    assert list(select(tmp_path, exclude_txt=tmp_path / "no_chest.txt")) == ["train_1_a_1"]
    assert len(select(tmp_path, reconstruction="all")) == 3


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00bad"])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    touch(tmp_path, "a.nii")
    listed = tmp_path / "no_chest.txt"
    if content is not None:
        listed.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cohort.exclude_txt names .*no_chest\.txt"):
        select(tmp_path, exclude_txt=listed)


def test_phantoms_stand_where_their_shard_writes_them() -> None:
    found = select_files(CohortConfig(num_phantoms=5, shard_size=2), Path("results/phantoms"), {}).files
    assert str(found["phantom_00004"]) == "results/phantoms/0002/phantom_00004/phantom_00004.nii.gz"


def test_a_name_that_several_files_have_is_excluded_with_its_folder_or_everywhere(tmp_path: Path) -> None:
    touch(tmp_path, "cts/lung_1.nii.gz", "drawn/lung_1.nii.gz", "cts/lung_2.nii.gz")
    listed = tmp_path / "no_chest.txt"

    def left(*lines: str) -> list[str]:
        listed.write_text("\n".join(lines), encoding="utf-8")
        return [path.relative_to(tmp_path).as_posix() for path in select(tmp_path, exclude_txt=listed).values()]

    for line in ("drawn/lung_1.nii.gz", r"C:\data\drawn\lung_1.nii", "/abs/drawn/lung_1"):
        assert left(line) == ["cts/lung_1.nii.gz", "cts/lung_2.nii.gz"]
    assert left("lung_1") == ["cts/lung_2.nii.gz"]
    assert left('"LUNG_2.NII.GZ"') == ["cts/lung_1.nii.gz", "drawn/lung_1.nii.gz"]
    with pytest.raises(ConfigError, match=r"cohort-empty.*exclude_dirs"):
        left("lung_1", "lung_2")


def test_a_list_of_other_files_is_refused_and_ct_rates_own_lists_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "train_1_a_1.nii.gz")
    listed = tmp_path / "no_chest.txt"
    listed.write_text("scan-7\nscan-8\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"exclude-unmatched.*2 lines.*'scan-7'.*'train_1_a_1"):
        select(tmp_path, exclude_txt=listed)
    listed.write_text("train_9_a_1.nii.gz\n", encoding="utf-8")
    found = select_files(CohortConfig(data_dir=tmp_path, exclude_txt=listed), Path(), {})
    assert found.notes[-1] == "cohort.exclude_txt: 1 lines name no file: train_9_a_1.nii.gz"


@pytest.mark.parametrize("names", [("c.nii", "c.nii.gz"), ("sub/C.NII", "sub/c.nii.gz")])
def test_two_files_of_one_folder_and_name_are_refused_and_both_named(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, *names, "other/c.nii")
    with pytest.raises(ConfigError, match=rf"volume-name-twice.*{Path(names[0]).name}.*{Path(names[1]).name}"):
        select(tmp_path)
    (tmp_path / names[0]).unlink()
    assert len(select(tmp_path)) == 2


def test_synthetic_volumes_are_no_cases_unless_they_have_a_place(tmp_path: Path) -> None:
    touch(tmp_path, "ct.nii.gz", "made.nii.gz", "made_mask.nii.gz", "of_dcm2niix.nii.gz")
    (tmp_path / "made.json").write_text(json.dumps({"synthetic": True, "medsyn2": "0.1"}), encoding="utf-8")
    (tmp_path / "of_dcm2niix.json").write_text(json.dumps({"Modality": "CT"}), encoding="utf-8")
    found = select_files(CohortConfig(data_dir=tmp_path), Path(), {})
    assert list(found.files) == ["ct", "of_dcm2niix"]
    assert any("made.nii.gz" in note for note in found.notes)


def test_results_of_the_run_itself_are_no_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a.nii.gz", "results/inventory/order.txt", "results/register/0000/a/ct.nii.gz")
    assert list(select(Path())) == ["a"]
    with pytest.raises(ConfigError, match="data-dir-is-results"):
        select(Path("results/register"))
