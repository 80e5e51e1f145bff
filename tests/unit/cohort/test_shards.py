"""Shards keep their cases when the cohort grows, names are safe, and no subject is divided."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn2.cohort.shards import (
    Case,
    Cohort,
    append_to_order,
    case_ids,
    case_json,
    cohort_files,
    first_reconstructions,
    list_nifti,
    order_text,
    other_suffixes,
    plan_cohort,
    read_order,
)
from medsyn2.config import CohortConfig
from medsyn2.errors import ConfigError

CONFIG = CohortConfig(shard_size=4, test_every=3)
NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), max_size=20, unique=True)
FOLDERS = ("train", "train_fixed", "ts_seg/ts_total/train_fixed")


def files(*ids: str) -> dict[str, Path]:
    """Files named after their ids."""
    return {case: Path(f"{case}.nii.gz") for case in ids}


def planned(
    *ids: str,
    before: Mapping[str, str] | None = None,
    subjects: Mapping[str, str] | None = None,
    found: Mapping[str, Path] | None = None,
) -> Cohort:
    """Plan files named after their ids, or given ones, after those that already had a place."""
    found = files(*ids) if found is None else found
    order = append_to_order(before or {}, found, Path())
    return plan_cohort(found, order, CONFIG, subjects or {})


def cases_of(cohort: Cohort) -> dict[str, Case]:
    """Every case by its id."""
    return {case.id: case for cases in cohort.shards.values() for case in cases}


def touch(folder: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@given(NAMES, NAMES)
def test_growing_the_cohort_moves_nobody(first: list[str], second: list[str]) -> None:
    before = append_to_order({}, files(*first), Path())
    after = append_to_order(before, files(*first, *second), Path())
    assert list(after)[: len(before)] == list(before)
    assert sorted(after) == sorted({*first, *second})
    grown = planned(*first, *second, before=before).shards
    for name, cases in planned(*first).shards.items():
        assert grown[name][: len(cases)] == cases


def test_a_file_that_disappeared_leaves_its_place_empty() -> None:
    before = append_to_order({}, files("a", "b", "c", "d", "e"), Path())
    cohort = planned("a", "c", "d", "e", before=before)
    assert [[case.id for case in cases] for cases in cohort.shards.values()] == [["a", "c", "d"], ["e"]]


def test_ct_rate_names_give_subject_and_split_whatever_the_ids() -> None:
    cases = cases_of(planned("train_1_a_1", "train_1_b_1", "valid_7_a_2"))
    assert cases["train_1_a_1"].subject == cases["train_1_b_1"].subject == "train_1"
    assert (cases["valid_7_a_2"].subject, cases["valid_7_a_2"].split) == ("valid_7", "test")
    renamed = cases_of(planned(found={"x-1": Path("x/valid_7_a_2.nii.gz"), "x-2": Path("train_7_a_1.nii")}))
    assert {(case.subject, case.split) for case in renamed.values()} == {("valid_7", "test"), ("train_7", "train")}


@given(NAMES)
def test_every_nth_subject_is_held_out(names: list[str]) -> None:
    splits = [case.split for case in cases_of(planned(*names)).values()]
    assert splits == ["test" if rank % 3 == 2 else "train" for rank in range(len(names))]


def test_scans_of_one_subject_are_in_one_split_wherever_they_stand() -> None:
    subjects = {name: f"P{name[1]}" for name in ("a1", "a2", "b1", "b2", "c1", "c2")}
    cases = cases_of(planned(*sorted(subjects), "d", subjects=subjects))
    assert {case.subject: case.split for case in cases.values()} == {"P1": "train", "P2": "train", "d": "test"}
    before = append_to_order({}, files("a1", "b", "c1"), Path())
    grown = cases_of(planned("a1", "b", "c1", "z1", before=before, subjects={"z1": "c1"}))
    assert (grown["z1"].subject, grown["z1"].split) == ("c1", "test")


def test_a_subject_in_both_of_ct_rates_splits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"subject-divided.*train_1_a_1.*valid_1_a_1"):
        planned("train_1_a_1", "valid_1_a_1", subjects={"train_1_a_1": "P", "valid_1_a_1": "P"})


def test_a_split_that_is_too_small_says_which_way_to_turn() -> None:
    planned(*"abcdef").require("test", 2)
    with pytest.raises(ConfigError, match=r"2 cases in the test split, got 1 of 5 cases.*lower cohort.test_every"):
        planned(*"abcde").require("test", 2)
    with pytest.raises(ConfigError, match=r"train split, got 0.*raise cohort.test_every"):
        planned("valid_1_a_1").require("train", 1)


def test_first_reconstruction_is_the_lowest_number() -> None:
    kept = first_reconstructions(files("train_1_a_2", "train_1_a_1", "train_1_b_10", "train_1_b_9", "other"))
    assert sorted(kept) == ["other", "train_1_a_1", "train_1_b_9"]


def test_ids_are_safe_and_unique(tmp_path: Path) -> None:
    names = ["a;touch x.nii.gz", "$(id).nii", "-x.nii.gz", "sub/CT.nii.gz", "other/ct.nii.gz", "fine.nii.gz"]
    ids = case_ids([tmp_path / name for name in names], tmp_path, {})
    assert len(ids) == len({case.lower() for case in ids}) == len(names)
    assert "fine" in ids
    assert all(set(case) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") for case in ids)
    assert not any(case.startswith(("-", ".")) for case in ids)


def test_a_case_keeps_its_id_when_a_file_of_its_name_joins_and_moves_with_its_file(tmp_path: Path) -> None:
    config = CohortConfig(data_dir=tmp_path)
    touch(tmp_path, "x/a.nii.gz", "x/b.nii.gz")
    order = append_to_order({}, cohort_files(config, Path(), {}), tmp_path)
    touch(tmp_path, "w/A.nii.gz")
    joined = cohort_files(config, Path(), order)
    assert joined["a"] == tmp_path / "x/a.nii.gz"
    newcomer = next(case for case, path in joined.items() if path == tmp_path / "w/A.nii.gz")
    assert newcomer.startswith("A-")
    order = append_to_order(order, joined, tmp_path)
    (tmp_path / "x/a.nii.gz").unlink()
    assert cohort_files(config, Path(), order) == {newcomer: joined[newcomer], "b": joined["b"]}
    touch(tmp_path, "y/a.nii.gz")
    assert cohort_files(config, Path(), order)["a"] == tmp_path / "y/a.nii.gz"


def test_a_folder_is_listed_once_even_where_links_point_upwards(tmp_path: Path) -> None:
    touch(tmp_path, "data/b/2.nii", "elsewhere/3.nii")
    for name, target in (("a", "data/b"), ("b/up", "data"), ("c", "elsewhere")):
        (tmp_path / "data" / name).symlink_to(tmp_path / target)
    found = list_nifti(tmp_path / "data")
    assert [path.relative_to(tmp_path / "data").as_posix() for path in found] == ["b/2.nii", "c/3.nii"]


def test_folders_can_be_left_out_and_other_files_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "1.nii", "sub/ts_seg/1.nii", "2.DCM", "sub/3.dcm", "readme", ".DS_Store")
    assert list_nifti(tmp_path, ("ts_seg",)) == [tmp_path / "1.nii"]
    assert other_suffixes(tmp_path, ("ts_seg",)) == {".dcm": 2, "no suffix": 1}
    with pytest.raises(ConfigError, match="outside the folders"):
        list_nifti(tmp_path / "sub", ("ts_seg",))


def test_two_files_of_one_ct_rate_name_are_refused_until_one_folder_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{folder}/train_1/train_1_a/train_1_a_{n}.nii.gz" for folder in FOLDERS for n in (1, 2)))
    with pytest.raises(ConfigError, match=r"/train/.*train_1_a_1.*/train_fixed/.*cohort\.exclude_dirs"):
        cohort_files(CohortConfig(data_dir=tmp_path), Path(), {})
    config = CohortConfig(data_dir=tmp_path, exclude_dirs=("train", "ts_seg"))
    path = tmp_path / "train_fixed/train_1/train_1_a/train_1_a_1.nii.gz"
    assert cohort_files(config, Path(), {}) == {"train_1_a_1": path}


def test_folder_is_listed_with_subfolders_and_links_and_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2.nii", "a/1.NII.GZ", "a/.hidden.nii.gz", "a/readme.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/3.nii").touch()
    (tmp_path / "data/linked").symlink_to(tmp_path / "outside")
    assert [path.name for path in list_nifti(tmp_path / "data")] == ["1.NII.GZ", "2.nii", "3.nii"]


def test_missing_or_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        list_nifti(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no \.nii"):
        list_nifti(tmp_path)


def test_excluded_files_and_later_reconstructions_are_left_out(tmp_path: Path) -> None:
    for name in ("train_1_a_1", "train_1_a_2", "train_2_a_1"):
        (tmp_path / f"{name}.nii.gz").touch()
    (tmp_path / "no_chest.txt").write_text("# heads\nsomewhere/train_2_a_1.nii.gz\n\n")
    config = CohortConfig(data_dir=tmp_path, exclude_txt=tmp_path / "no_chest.txt")
    assert list(cohort_files(config, Path(), {})) == ["train_1_a_1"]
    everything = CohortConfig(data_dir=tmp_path, reconstruction="all")
    assert len(cohort_files(everything, Path(), {})) == 3


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00bad"])
def test_a_list_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    touch(tmp_path, "a.nii")
    listed = tmp_path / "no_chest.txt"
    if content is not None:
        listed.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cohort.exclude_txt names .*no_chest\.txt"):
        cohort_files(CohortConfig(data_dir=tmp_path, exclude_txt=listed), Path(), {})


def test_phantoms_stand_where_their_shard_writes_them() -> None:
    found = cohort_files(CohortConfig(num_phantoms=5, shard_size=2), Path("results/phantoms"), {})
    assert str(found["phantom_00004"]) == "results/phantoms/0002/phantom_00004/phantom_00004.nii.gz"


def test_shards_of_the_template_hold_enough_training_cases() -> None:
    cohort = planned(*"abcdefghij")
    assert cohort.first_training_shards(3) == ["0000"]
    assert cohort.first_training_shards(4) == ["0000", "0001"]
    assert cohort.shards_with("test") == ["0000", "0001", "0002"]


@given(st.lists(st.text(min_size=1), unique=True))
def test_order_is_read_back_whatever_the_files_are_called(names: list[str]) -> None:
    order = {f"case_{index}": name for index, name in enumerate([*names, "bad\udcff\n\t.nii"])}
    with TemporaryDirectory() as folder:
        path = Path(folder, "order.txt")
        assert read_order(path) == {}
        path.write_text(order_text(order))
        assert list(read_order(path).items()) == list(order.items())


def test_a_name_of_bytes_that_are_no_text_gets_a_case_that_can_be_passed_on(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.nii.gz")).touch()
    found = cohort_files(CohortConfig(data_dir=tmp_path), Path(), {})
    order = append_to_order({}, found, tmp_path)
    cases = plan_cohort(found, order, CONFIG, {}).shards["0000"]
    assert cases[0].id.isascii()
    assert json.loads(case_json(cases).encode())[0]["path"] == cases[0].path
