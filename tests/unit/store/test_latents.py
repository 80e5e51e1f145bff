from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import IntegrityError, WeightsError
from medsyn2.store.latents import EMPTY_MASK, LATENTS, read_empty_mask, read_image, read_mask, write_latents

SHAPE = (4, 2, 3, 3)


def latents(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "0000" / "a"
    folder.mkdir(parents=True)
    write_latents(folder, "a", latents(0), {"lobes": latents(1), "heart": latents(2)})
    return folder


def test_latents_come_back_as_they_were_written(folder: Path) -> None:
    np.testing.assert_array_equal(read_image(folder), latents(0))
    np.testing.assert_array_equal(read_mask(folder, "lobes"), latents(1))
    np.testing.assert_array_equal(read_mask(folder, "heart"), latents(2))


def test_a_mask_without_latents_is_refused(folder: Path) -> None:
    with pytest.raises(IntegrityError, match="masks/airways is not whole"):
        read_mask(folder, "airways")


def test_a_case_that_was_not_encoded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="store-unreadable"):
        read_image(tmp_path)


def test_a_shard_has_one_empty_mask(folder: Path) -> None:
    empty = folder.parent / EMPTY_MASK
    empty.mkdir()
    write_latents(empty, EMPTY_MASK, latents(9), {})
    np.testing.assert_array_equal(read_empty_mask(folder.parent), latents(9))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_latents_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    image = latents(0)
    image[0, 0, 0, 0] = value
    with pytest.raises(WeightsError, match=r"latents-not-finite.*latents image of case a"):
        write_latents(tmp_path, "a", image, {})
    assert not (tmp_path / LATENTS).exists()
