import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import zarr

from medsyn2.errors import IntegrityError
from medsyn2.store.array_file import read_array, write_arrays

ARRAYS = {
    "image": np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float16),
    "masks/heart": np.zeros((2, 3), np.float32),
    "length": np.array(7.0, np.float32),
}
AXES = {"image": ("z", "y", "x"), "masks/heart": ("y", "x"), "length": ()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "0000" / "a" / "arrays.zarr.zip"
    path.parent.mkdir(parents=True)
    write_arrays(path, ARRAYS, AXES)
    return path


def test_arrays_come_back_with_their_type_and_shape(path: Path) -> None:
    for name, values in ARRAYS.items():
        read = read_array(path, name)
        assert read.dtype == values.dtype
        np.testing.assert_array_equal(read, values)


def test_zarr_reads_the_file_with_names_of_axes(path: Path) -> None:
    store = zarr.storage.ZipStore(path, mode="r")
    group = zarr.open_group(store, mode="r")
    for name, values in ARRAYS.items():
        array = group[name]
        assert isinstance(array, zarr.Array)
        np.testing.assert_array_equal(array[...], values)
        assert (array.metadata.dimension_names or ()) == AXES[name]
    store.close()


def test_equal_arrays_give_equal_bytes(path: Path, tmp_path: Path) -> None:
    write_arrays(tmp_path / "again", dict(reversed(ARRAYS.items())), AXES)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_nothing_is_compressed(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_no_flipped_bit_changes_a_value(path: Path) -> None:
    whole = path.read_bytes()
    codes = []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        for name, values in ARRAYS.items():
            try:
                np.testing.assert_array_equal(read_array(path, name), values)
            except IntegrityError as error:
                codes.append(error.code)
    assert set(codes) == {"store-damaged"}
    assert len(codes) > ARRAYS["image"].nbytes


@pytest.mark.parametrize("size", [0, 10, 200, -1, -30])
def test_a_file_that_was_cut_is_refused(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(IntegrityError, match=r"store-damaged.*0000\.json"):
        read_array(path, "image")


def test_a_file_or_an_array_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(IntegrityError, match="store-damaged"):
        read_array(path, "masks/lobes")
    with pytest.raises(IntegrityError, match="store-unreadable"):
        read_array(path.with_name("other"), "image")


def test_threads_and_forked_processes_read_at_once(path: Path) -> None:
    read = pickle.loads(pickle.dumps(partial(read_array, path)))
    read("image")
    with ThreadPoolExecutor(4) as pool:
        for values in pool.map(read, ["image"] * 40):
            np.testing.assert_array_equal(values, ARRAYS["image"])
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            same = all((read("image") == ARRAYS["image"]).all() for _ in range(20))
            os._exit(0 if same else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
