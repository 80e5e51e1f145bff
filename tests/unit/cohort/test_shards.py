"""Shards keep their cases when the cohort grows, names are safe, and no subject is divided."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn2.cohort.shards import (
    append_to_order,
    case_ids,
    cohort_files,
    first_reconstructions,
    list_nifti,
    plan_cohort,
    read_order,
)
from medsyn2.config import CohortConfig
from medsyn2.errors import ConfigError

CONFIG = CohortConfig(shard_size=4, test_every=3)
NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), max_size=20, unique=True)


def files(*ids: str) -> dict[str, Path]:
    """Files named after their ids."""
    return {case: Path(f"{case}.nii.gz") for case in ids}


@given(NAMES, NAMES)
def test_growing_the_cohort_moves_nobody(first: list[str], second: list[str]) -> None:
    before = append_to_order([], first)
    after = append_to_order(before, [*first, *second])
    assert after[: len(before)] == before
    assert sorted(after) == sorted({*first, *second})
    planned = plan_cohort(files(*first), before, CONFIG).shards
    grown = plan_cohort(files(*first, *second), before, CONFIG).shards
    for name, cases in planned.items():
        assert grown[name][: len(cases)] == cases


def test_a_file_that_disappeared_leaves_its_place_empty() -> None:
    order = ["a", "b", "c", "d", "e"]
    cohort = plan_cohort(files("a", "c", "d", "e"), order, CONFIG)
    assert [[case.id for case in cases] for cases in cohort.shards.values()] == [["a", "c", "d"], ["e"]]


def test_ct_rate_names_give_subject_and_split() -> None:
    cohort = plan_cohort(files("train_1_a_1", "train_1_b_1", "valid_7_a_2"), [], CONFIG)
    cases = {case.id: case for cases in cohort.shards.values() for case in cases}
    assert cases["train_1_a_1"].subject == cases["train_1_b_1"].subject == "train_1"
    assert (cases["valid_7_a_2"].subject, cases["valid_7_a_2"].split) == ("valid_7", "test")


@given(NAMES)
def test_every_nth_subject_is_held_out(names: list[str]) -> None:
    cohort = plan_cohort(files(*names), [], CONFIG)
    splits = [case.split for cases in cohort.shards.values() for case in cases]
    assert splits == ["test" if rank % 3 == 2 else "train" for rank in range(len(names))]


def test_first_reconstruction_is_the_lowest_number() -> None:
    kept = first_reconstructions(["train_1_a_2", "train_1_a_1", "train_1_b_10", "train_1_b_9", "other"])
    assert sorted(kept) == ["other", "train_1_a_1", "train_1_b_9"]


def test_ids_are_safe_and_unique(tmp_path: Path) -> None:
    names = ["a;touch x.nii.gz", "$(id).nii", "-x.nii.gz", "sub/CT.nii.gz", "other/ct.nii.gz", "fine.nii.gz"]
    ids = case_ids([tmp_path / name for name in names], tmp_path)
    assert len(ids) == len({case.lower() for case in ids}) == len(names)
    assert "fine" in ids
    assert all(
        set(case) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") for case in ids
    )
    assert not any(case.startswith(("-", ".")) for case in ids)


def test_folder_is_listed_with_subfolders_and_links_and_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b/2.nii", "a/1.NII.GZ", "a/.hidden.nii.gz", "a/readme.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "data/linked").symlink_to(tmp_path / "data/b")
    assert [path.name for path in list_nifti(tmp_path / "data")] == ["1.NII.GZ", "2.nii", "2.nii"]


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
    assert list(cohort_files(config, Path())) == ["train_1_a_1"]
    everything = CohortConfig(data_dir=tmp_path, reconstruction="all")
    assert len(cohort_files(everything, Path())) == 3


def test_phantoms_stand_where_their_shard_writes_them() -> None:
    found = cohort_files(CohortConfig(num_phantoms=5, shard_size=2), Path("results/phantoms"))
    assert str(found["phantom_00004"]) == "results/phantoms/0002/phantom_00004/phantom_00004.nii.gz"


def test_shards_of_the_template_hold_enough_training_cases() -> None:
    cohort = plan_cohort(files(*"abcdefghij"), [], CONFIG)
    assert cohort.first_training_shards(3) == ["0000"]
    assert cohort.first_training_shards(4) == ["0000", "0001"]
    assert cohort.shards_with("test") == ["0000", "0001", "0002"]


def test_order_is_read_back(tmp_path: Path) -> None:
    assert read_order(tmp_path / "order.txt") == []
    (tmp_path / "order.txt").write_text("a\nb\n")
    assert read_order(tmp_path / "order.txt") == ["a", "b"]
