from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import IntegrityError, WeightsError
from medsyn2.store.latents import EMPTY_MASK, LatentStore, MaskState
from medsyn2.vocabulary import STRUCTURES, Structure

SHAPE = (4, 2, 3, 3)
STATES: dict[Structure, MaskState] = {
    **dict.fromkeys(STRUCTURES, "absent"),
    "lobes": "present",
    "heart": "present",
    "nodules": "empty",
}


def latents(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def written(path: Path) -> tuple[LatentStore, dict[str, str]]:
    store = LatentStore.open_for_writing(path, ["a", "b"], shape=SHAPE, dtype="float16", about={"by": "x"})
    store.write_empty_mask(latents(9))
    files = store.write("b", latents(0), {"lobes": latents(1), "heart": latents(2)}, STATES)
    return LatentStore.open(path), files


def test_what_was_encoded_comes_back_in_the_stored_precision(tmp_path: Path) -> None:
    store, _ = written(tmp_path / "0000.zarr")
    np.testing.assert_array_equal(store.image("b"), latents(0).astype(np.float16))
    lobes, heart = store.mask("b", "lobes"), store.mask("b", "heart")
    assert lobes is not None
    assert heart is not None
    np.testing.assert_array_equal(lobes, latents(1).astype(np.float16))
    np.testing.assert_array_equal(heart, latents(2).astype(np.float16))
    assert store.states("b") == STATES
    assert store.about["by"] == "x"
    assert store.about["shape"] == list(SHAPE)


def test_an_empty_mask_is_not_an_absent_one(tmp_path: Path) -> None:
    store, _ = written(tmp_path / "0000.zarr")
    assert store.mask("b", "airways") is None
    empty = store.mask("b", "nodules")
    assert empty is not None
    np.testing.assert_array_equal(empty, latents(9).astype(np.float16))
    np.testing.assert_array_equal(empty, store.image(EMPTY_MASK))


def test_a_case_that_was_not_encoded_is_an_error(tmp_path: Path) -> None:
    store, _ = written(tmp_path / "0000.zarr")
    with pytest.raises(IntegrityError, match="not written"):
        store.image("a")
    with pytest.raises(IntegrityError, match="not written"):
        store.mask("a", "lobes")


def test_a_present_mask_whose_file_is_lost_is_neither_absent_nor_empty(tmp_path: Path) -> None:
    store, files = written(tmp_path / "0000.zarr")
    (lost,) = (name for name in files if name.startswith("masks"))
    (store.store.path / lost).unlink()
    with pytest.raises(IntegrityError, match="lobes are not there"):
        store.mask("b", "lobes")
    assert store.mask("b", "airways") is None


def test_a_lost_image_is_found(tmp_path: Path) -> None:
    store, files = written(tmp_path / "0000.zarr")
    (lost,) = (name for name in files if name.startswith("image"))
    (store.store.path / lost).unlink()
    with pytest.raises(IntegrityError, match="image are not there"):
        store.image("b")


def test_a_mask_that_goes_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "0000.zarr"
    written(path)
    store = LatentStore.open_for_writing(path, ["a", "b"], shape=SHAPE, dtype="float16", about={"by": "x"})
    store.write("b", latents(0), {"heart": latents(2)}, {**STATES, "lobes": "absent"})
    read = LatentStore.open(path)
    assert read.mask("b", "lobes") is None
    assert np.isnan(read.store.read("b", "masks", 0)).all()
    assert read.mask("b", "heart") is not None


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_latents_that_cannot_be_stored_are_refused(tmp_path: Path, value: float) -> None:
    store = LatentStore.open_for_writing(
        tmp_path / "0000.zarr", ["a"], shape=SHAPE, dtype="float16", about={}
    )
    image = latents(0)
    image[0, 0, 0, 0] = value
    with pytest.raises(WeightsError, match="latents-not-finite"):
        store.write("a", image, {}, dict.fromkeys(STRUCTURES, "absent"))
