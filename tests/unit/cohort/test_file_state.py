"""A changed file is noticed and copies are suspected, without reading the files."""

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.cohort.file_state import content_of, find_repeats, mark_repeats, mask_paths, state_of
from medsyn2.cohort.shards import Case


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    """Four files of one size: the third repeats the first, and the fourth differs from it in its middle alone."""
    first, second = (np.random.default_rng(seed).bytes(100_000) for seed in (1, 2))
    contents = (first, second, first, first[:49_000] + second[:2000] + first[51_000:])
    for index, content in enumerate(contents):
        (tmp_path / f"{index}.nii").write_bytes(content)
    return [Case(f"c{index}", str(tmp_path / f"{index}.nii"), "s", "train", index) for index in range(4)]


def test_only_a_copy_of_an_earlier_file_is_marked(cases: list[Case], tmp_path: Path) -> None:
    repeated = find_repeats(cases)
    assert repeated == {"c2": cases[0].path}
    assert [case.same_as for case in mark_repeats(cases, repeated)] == [None, None, cases[0].path, None]
    assert find_repeats(reversed(cases)) == {"c0": cases[2].path}


def test_files_that_hold_nothing_or_are_none_repeat_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.nii").touch()
    (tmp_path / "b.nii").touch()
    os.mkfifo(tmp_path / "c.nii")
    (tmp_path / "d.nii").mkdir()
    paths = [tmp_path / f"{name}.nii" for name in "abcde"]
    assert find_repeats(Case(path.stem, str(path), "s", "train", 0) for path in paths) == {}


def test_size_time_and_presence_make_the_state(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    states = [state_of([str(path)])]
    path.write_text("x", encoding="utf-8")
    states.append(state_of([str(path)]))
    assert state_of([str(path)]) == states[-1]
    os.utime(path, ns=(0, 1))
    states.append(state_of([str(path)]))
    path.write_text("xx", encoding="utf-8")
    os.utime(path, ns=(0, 1))
    states.append(state_of([str(path)]))
    assert len(set(states)) == 4


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_headers_stand_for_the_voxels_beside_them(tmp_path: Path, suffix: str) -> None:
    cases, states, contents = [], [], []
    for value in (0, 7):
        path = tmp_path / str(value) / f"ct{suffix}"
        path.parent.mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 4, 5), value, np.int16)), str(path))
        cases.append(Case(f"c{value}", str(path), "s", "train", value))
        contents.append(content_of(path))
        states.append(state_of([str(path)]))
    assert Path(cases[0].path).read_bytes() == Path(cases[1].path).read_bytes()
    assert contents[0] != contents[1]
    assert find_repeats(cases) == {}
    voxels = next(file for file in path.parent.iterdir() if file != path)
    os.utime(voxels, ns=(0, 1))
    assert state_of([str(path)]) != states[1]
    voxels.unlink()
    assert content_of(path) is None


def test_masks_are_where_the_pattern_says(cases: list[Case]) -> None:
    assert mask_paths("m/{case}/{structure}.nii", cases[:2], ["heart"]) == ["m/c0/heart.nii", "m/c1/heart.nii"]
    assert mask_paths(None, cases, ["heart"]) == []


def test_a_slice_that_joins_or_leaves_a_study_changes_its_state(tmp_path: Path) -> None:
    series = tmp_path / "study/series"
    series.mkdir(parents=True)
    (series / "1.dcm").write_bytes(b"1")
    os.utime(series, ns=(0, 1))
    before = state_of([str(tmp_path / "study")])
    assert state_of([str(tmp_path / "study")]) == before
    (series / "2.dcm").write_bytes(b"2")
    assert state_of([str(tmp_path / "study")]) != before
