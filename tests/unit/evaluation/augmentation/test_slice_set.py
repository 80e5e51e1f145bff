"""The public set's format, in files that the tests make: what is read, and what is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medsyn2.errors import ConfigError, MedSyn2Error, TableError
from medsyn2.evaluation.augmentation.slice_set import IMAGES, MASKS, read_slice_set, read_split

SHAPE = (16, 12, 6)
"""Columns, rows, slices."""
SPLIT = {"train": [0, 2, 4], "test": [1, 5]}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(hu: np.ndarray | None = None, labels: np.ndarray | None = None, split: object = SPLIT) -> Path:
        rng = np.random.default_rng(0)
        if hu is None:
            hu = rng.integers(-1000, 100, SHAPE)
        if labels is None:
            labels = rng.integers(0, 4, SHAPE)
        affine = np.diag([-0.8, -0.6, 5.0, 1.0])
        for name, values in ((IMAGES, hu), (MASKS, labels)):
            nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), affine), tmp_path / name)
        (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
        return tmp_path

    return written


def read(folder: Path, structure: str = "ground_glass", pixel_mm: float | None = None):
    return read_slice_set(folder, folder / "split.json", structure, pixel_mm=pixel_mm)


@pytest.mark.parametrize(("structure", "label"), [("ground_glass", 1), ("consolidation", 2), ("pleural_effusion", 3)])
def test_rows_are_the_file_s_second_axis_and_labels_those_of_the_structure(
    write: Callable[..., Path], structure: str, label: int
) -> None:
    folder = write()
    train, test = read(folder, structure)
    assert [one.name for one in train] == ["slice_000", "slice_002", "slice_004"]
    assert [one.patient for one in test] == ["slice_001", "slice_005"]
    stored = {name: np.asarray(nibabel.load(folder / name).dataobj) for name in (IMAGES, MASKS)}
    np.testing.assert_array_equal(test[1].hu, stored[IMAGES][:, :, 5].T)
    np.testing.assert_array_equal(test[1].mask, label == stored[MASKS][:, :, 5].T)
    assert test[1].spacing_mm == pytest.approx((0.6, 0.8))


def test_the_size_of_a_pixel_and_the_patients_may_be_given(write: Callable[..., Path]) -> None:
    folder = write(split={**SPLIT, "patients": ["a", "b", "a", "b", "c", "b"]})
    train, test = read(folder, pixel_mm=0.7)
    assert [one.patient for one in (*train, *test)] == ["a", "a", "c", "b", "b"]
    assert {one.spacing_mm for one in test} == {(0.7, 0.7)}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"labels": np.full(SHAPE, 4)}, "slices-labels"),
        ({"labels": np.full(SHAPE, 0.5)}, "slices-labels"),
        ({"labels": np.zeros((16, 12, 5))}, "slices-differ"),
        ({"hu": np.random.default_rng(0).integers(0, 256, SHAPE)}, "slices-not-hu"),
        ({"hu": np.random.default_rng(0).random(SHAPE)}, "slices-not-hu"),
    ],
)
def test_what_is_not_the_published_set_is_refused(
    write: Callable[..., Path], values: dict[str, np.ndarray], code: str
) -> None:
    with pytest.raises(TableError) as caught:
        read(write(**values))
    assert caught.value.code == code


def test_missing_files_and_other_structures_are_refused(write: Callable[..., Path]) -> None:
    folder = write()
    with pytest.raises(ConfigError) as caught:
        read(folder, "heart")
    assert caught.value.code == "slices-structure"
    (folder / MASKS).unlink()
    with pytest.raises(ConfigError, match=MASKS) as caught:
        read(folder)
    assert caught.value.code == "slices-missing"


def test_a_damaged_file_is_refused(write: Callable[..., Path]) -> None:
    folder = write()
    content = (folder / IMAGES).read_bytes()
    (folder / IMAGES).write_bytes(content[: len(content) // 2])
    with pytest.raises(MedSyn2Error):
        read(folder)


@pytest.mark.parametrize(
    "split",
    [
        [0, 1],
        {"train": [0]},
        {"train": [0], "test": [1], "val": [2]},
        {"train": [], "test": [1]},
        {"train": [0, 6], "test": [1]},
        {"train": [0, -1], "test": [1]},
        {"train": [0, True], "test": [2]},
        {"train": [0, 0], "test": [1]},
        {"train": [0, 1], "test": [1]},
        {"train": "0", "test": [1]},
        {"train": [0], "test": [1], "patients": ["a"]},
        {"train": [0], "test": [1], "patients": ["a", "a", "b", "c", "d", "e"]},
    ],
)
def test_what_is_no_split_is_refused(tmp_path: Path, split: object) -> None:
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    with pytest.raises(TableError) as caught:
        read_split(tmp_path / "split.json", 6)
    assert caught.value.code == "slices-split"


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("{train", encoding="utf-8")
    with pytest.raises(TableError, match="cannot be read"):
        read_split(tmp_path / "split.json", 6)
