"""Shards keep their cases when the cohort grows, names are safe, and no subject is divided."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn2.cohort.selection import Selection, select_files
from medsyn2.cohort.shards import Case, Cohort, append_to_order, case_json, order_text, plan_cohort, read_order
from medsyn2.cohort.subjects import SubjectTable
from medsyn2.config import CohortConfig
from medsyn2.errors import ConfigError

CONFIG = CohortConfig(shard_size=4, test_every=3)
NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), max_size=20, unique=True)


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
    return plan_cohort(Selection(dict(found)), order, CONFIG, subjects=SubjectTable(subjects or {}))


def cases_of(cohort: Cohort) -> dict[str, Case]:
    """Every case by its id."""
    return {case.id: case for cases in cohort.shards.values() for case in cases}


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
        path.write_text(order_text(order), encoding="utf-8")
        assert list(read_order(path).items()) == list(order.items())


def test_a_name_of_bytes_that_are_no_text_gets_a_case_that_can_be_passed_on(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.nii.gz")).touch()
    found = select_files(CohortConfig(data_dir=tmp_path), Path(), {})
    order = append_to_order({}, found.files, tmp_path)
    cases = plan_cohort(found, order, CONFIG).shards["0000"]
    assert cases[0].id.isascii()
    assert json.loads(case_json(cases).encode())[0]["path"] == cases[0].path
