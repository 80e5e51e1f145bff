import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import IntegrityError
from medsyn2.store.row_store import RowArray, RowStore, open_row_store, open_row_store_for_writing

ARRAYS = {
    "image": RowArray((2, 3, 4), "float16", ("z", "h", "w")),
    "masks": RowArray((3, 2, 3, 4), "float16", ("structure", "z", "h", "w"), chunk=(1, 2, 3, 4)),
    "states": RowArray((3,), "uint8", ("structure",)),
}
ABOUT = {"tokenizer": "abc", "structures": ["x", "y", "z"]}


def row(seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    masks = draw.normal(size=(3, 2, 3, 4)).astype(np.float16)
    masks[1] = np.nan
    return {
        "image": draw.normal(size=(2, 3, 4)).astype(np.float16),
        "masks": masks,
        "states": draw.integers(1, 4, 3).astype(np.uint8),
    }


def store_at(path: Path, cases: list[str], about: dict = ABOUT) -> RowStore:
    return open_row_store_for_writing(path, ARRAYS, cases, about)


def files_of(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def test_a_row_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "0000.zarr"
    store_at(path, ["a", "b", "c"]).write("b", row(1))
    store = open_row_store(path)
    for name, value in row(1).items():
        read = store.read("b", name)
        assert read.dtype == value.dtype
        np.testing.assert_array_equal(read, value)
    np.testing.assert_array_equal(store.read("b", "masks", 2), row(1)["masks"][2])
    assert store.attributes == ABOUT


def test_the_same_rows_give_the_same_bytes_in_any_order_of_writing(tmp_path: Path) -> None:
    for name, order in (("one", "abc"), ("two", "cba")):
        store = store_at(tmp_path / name / "0000.zarr", ["a", "b", "c"])
        for case in order:
            store.write(case, row(ord(case)))
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_a_row_is_one_file_an_array(tmp_path: Path) -> None:
    files = store_at(tmp_path / "0000.zarr", ["a", "b"]).write("b", row(1))
    assert sorted(name.split("/")[0] for name in files) == ["image", "masks", "states", "written"]


def test_a_row_that_was_not_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0000.zarr"
    store_at(path, ["a", "b"]).write("b", row(1))
    for case in ("a", "stranger"):
        with pytest.raises(IntegrityError, match=f"store-damaged.*{case}"):
            open_row_store(path).read(case, "image")


def test_a_row_list_that_grows_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "0000.zarr"
    store = store_at(path, ["b", "d"])
    files = {case: store.write(case, row(ord(case))) for case in ("b", "d")}
    grown = store_at(path, ["a", "b", "c", "d"])
    assert grown.rows == {"b": 0, "d": 1, "a": 2, "c": 3}
    grown.write("c", row(3))
    shrunk = store_at(path, ["c", "d"])
    assert shrunk.rows == grown.rows
    for case in ("b", "d"):
        assert shrunk.holds(case, files[case])
        np.testing.assert_array_equal(open_row_store(path).read(case, "image"), row(ord(case))["image"])


def test_a_store_of_something_else_is_built_anew(tmp_path: Path) -> None:
    path = tmp_path / "0000.zarr"
    files = store_at(path, ["a"]).write("a", row(1))
    assert not store_at(path, ["a"], {"tokenizer": "other"}).holds("a", files)
    with pytest.raises(IntegrityError):
        open_row_store(path).read("a", "image")


def test_every_flipped_bit_and_every_missing_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "0000.zarr"
    store = store_at(path, ["a"])
    files = store.write("a", row(1))
    assert store.holds("a", files)
    draw = random.Random(0)
    for _ in range(30):
        name = draw.choice(sorted(files))
        whole = (path / name).read_bytes()
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        (path / name).write_bytes(damaged)
        assert not store.holds("a", files)
        if not name.startswith("written"):
            with pytest.raises(IntegrityError, match="store-damaged"):
                open_row_store(path).read("a", name.split("/")[0])
        (path / name).write_bytes(whole[:-1])
        assert not store.holds("a", files)
        (path / name).unlink()
        assert not store.holds("a", files)
        (path / name).write_bytes(whole)
    assert store.holds("a", files)


def test_what_is_no_store_is_refused_for_reading_and_replaced_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "0000.zarr"
    with pytest.raises(IntegrityError, match="store-unreadable"):
        open_row_store(path)
    path.mkdir()
    (path / "zarr.json").write_text("{")
    with pytest.raises(IntegrityError, match="store-unreadable"):
        open_row_store(path)
    store_at(path, ["a"]).write("a", row(1))
    np.testing.assert_array_equal(open_row_store(path).read("a", "image"), row(1)["image"])


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from medsyn2.store.row_store import RowArray, open_row_store_for_writing
path, cases = Path(sys.argv[1]), sys.argv[2].split(",")
arrays = {"image": RowArray((64, 64, 64), "float16", ("d", "h", "w"))}
store = open_row_store_for_writing(path, arrays, cases, {})
print("ready", flush=True)
for value in range(1, 10_000):
    for index, case in enumerate(cases):
        store.write(case, {"image": np.full((64, 64, 64), value + index, np.float16)})
"""


@pytest.mark.parametrize("trial", range(3))
def test_a_killed_writer_leaves_each_row_whole_or_unwritten(tmp_path: Path, trial: int) -> None:
    path, cases = tmp_path / "0000.zarr", ["a", "b", "c"]
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), ",".join(cases)], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(random.Random(trial).uniform(0.05, 0.4))
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    store = open_row_store(path)
    for case in cases:
        try:
            image = store.read(case, "image")
        except IntegrityError:
            continue
        assert np.isfinite(image).all()
        assert (image == image[0, 0, 0]).all()
    arrays = {"image": RowArray((64, 64, 64), "float16", ("d", "h", "w"))}
    again = open_row_store_for_writing(path, arrays, cases, {})
    assert not list(path.rglob("*.partial"))
    for case in cases:
        again.write(case, {"image": np.ones((64, 64, 64), np.float16)})
        assert (open_row_store(path).read(case, "image") == 1).all()
