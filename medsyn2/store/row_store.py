"""A Zarr v3 store with one row for each case of a shard: the form of the latents and of the embeddings.

    <shard>.zarr/            a group; its attributes say what the rows are and which row is whose
        <array>/             first axis: the row; one file a row (a Zarr shard where a row has inner chunks)
        written/             one byte a row, set last

A row's files carry crc32c checksums, because a flipped bit in an uncompressed chunk is otherwise read as
data, and the fill value of floats is NaN, because a chunk that is not there is otherwise read as zeros. A row
is written by one process, under the shard's lock, `written` last: a killed job leaves that one row unwritten.
Rows are only ever added. A case keeps its row; a case that is new to the list gets the next one. A store
whose arrays or attributes are not the ones asked for is built anew.

No compression: latents in float16 shrink by 8 % and then take three times as long to read.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Shaped
from zarr.codecs import Crc32cCodec

from medsyn2.errors import IntegrityError
from medsyn2.files import sha256_of, sync

FORMAT = 1
_WRITTEN = "written"


@dataclass(frozen=True)
class RowArray:
    """One array of a row store.

    Attributes:
        shape: Of one row.
        dtype: NumPy's name.
        chunk: What is read at once; the whole row if it is None. A row stays one file.
        axes: Names of the row's axes.
    """

    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...]
    chunk: tuple[int, ...] | None = None


@dataclass(frozen=True)
class RowStore:
    """An open store.

    Attributes:
        path: The store's folder.
        group: The Zarr group.
        rows: Row of each case.
        arrays: The arrays by name.
    """

    path: Path
    group: zarr.Group
    rows: dict[str, int]
    arrays: dict[str, zarr.Array[Any]]

    @property
    def attributes(self) -> dict[str, Any]:
        """What the writer said about the rows."""
        about = self.group.attrs["about"]
        assert isinstance(about, Mapping)
        return dict(about)

    def write(self, case: str, values: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, str]:
        """Write the whole row of `case` and return the sha256 of each of its files.

        Chunks that are all fill value (NaN for floats, 0 otherwise) are not written.

        Args:
            case: A case of the store.
            values: A row for each array.

        Raises:
            KeyError: If an array is missing or unknown, or the case is.
        """
        row = self.rows[case]
        if set(values) != set(self._names()):
            raise KeyError(f"expected the arrays {self._names()}, got {sorted(values)}")
        self._clear(row)
        for name, value in values.items():
            array = self.arrays[name]
            assert value.shape == array.shape[1:], f"{name}: expected {array.shape[1:]}, got {value.shape}"
            array[row] = value
        self.arrays[_WRITTEN][row] = 1
        files = self._files(row)
        for file in files:
            sync(file)
            sync(file.parent)
        return {file.relative_to(self.path).as_posix(): sha256_of(file) for file in files}

    def holds(self, case: str, files: Mapping[str, str]) -> bool:
        """Return whether the row of `case` is, to the byte, the one that `write` returned `files` for."""
        if case not in self.rows:
            return False
        found = {file.relative_to(self.path).as_posix() for file in self._files(self.rows[case])}
        return found == set(files) and all(sha256_of(self.path / name) == files[name] for name in files)

    def read(self, case: str, name: str, index: int | None = None) -> Shaped[np.ndarray, "..."]:
        """Read one array of the row of `case`, or one entry along the row's first axis.

        Raises:
            IntegrityError: If the row was never written whole, or its bytes are damaged.
        """
        row = self.rows.get(case)
        if row is None:
            raise self.damaged(case, "it is not in the store")
        try:
            if not int(np.asarray(self.arrays[_WRITTEN][row])):
                raise self.damaged(case, "its row was not written, or not to its end")
            array = self.arrays[name]
            return np.asarray(array[row] if index is None else array[row, index])
        except (ValueError, OSError, RuntimeError) as error:
            if isinstance(error, IntegrityError):
                raise
            raise self.damaged(case, f"{name} cannot be read: {error}") from error

    def _names(self) -> list[str]:
        return sorted(name for name in self.arrays if name != _WRITTEN)

    def _files(self, row: int) -> list[Path]:
        folders = [self.path / name / "c" / str(row) for name in [*self._names(), _WRITTEN]]
        found = [folder for folder in folders if folder.is_file()]
        found += [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return sorted(found)

    def _clear(self, row: int) -> None:
        for file in sorted(self._files(row), key=lambda path: path.parts[len(self.path.parts)] != _WRITTEN):
            file.unlink()

    def damaged(self, case: str, problem: str) -> IntegrityError:
        """Return the error that says what is wrong with the row of `case`."""
        return IntegrityError(
            f"{self.path}: case {case}: {problem}.",
            code="store-damaged",
            remedy=f"delete {self.path.with_suffix('.json')} and run the workflow again; "
            "only what is missing or damaged is done again.",
        )


def open_row_store(path: Path) -> RowStore:
    """Open a store for reading.

    Raises:
        IntegrityError: If there is none, or none of this format.
    """
    store = _open(path, "r")
    if store is None:
        raise IntegrityError(
            f"{path} is no store of rows in format {FORMAT}.",
            code="store-unreadable",
            remedy=f"delete {path.with_suffix('.json')} and run the workflow again.",
        )
    return store


def open_row_store_for_writing(
    path: Path, arrays: Mapping[str, RowArray], cases: Sequence[str], about: Mapping[str, Any]
) -> RowStore:
    """Open the store at `path` with a row for each of `cases`, or make it; the caller holds the shard's lock.

    Args:
        path: The store's folder.
        arrays: What a row consists of.
        cases: The shard's cases. Those the store knows keep their row.
        about: JSON values that hold for every row, such as which network made them. A store with other ones
            is discarded.
    """
    store = _open(path, "r+")
    description = _description(arrays)
    if store is None or store.attributes != dict(about) or store.group.attrs["arrays"] != description:
        _create(path, arrays, cases, about)
        store = _open(path, "r+")
        assert store is not None
    for leftover in path.rglob("*.partial"):
        leftover.unlink()
    new = [case for case in cases if case not in store.rows]
    if not new:
        return store
    rows = store.rows | {case: len(store.rows) + index for index, case in enumerate(new)}
    for name in [*arrays, _WRITTEN]:
        array = store.arrays[name]
        array.resize((len(rows), *array.shape[1:]))
    store.group.attrs["rows"] = rows
    return RowStore(path, store.group, rows, store.arrays)


def _open(path: Path, mode: str) -> RowStore | None:
    try:
        group = zarr.open_group(path, mode=mode, zarr_format=3, use_consolidated=False)  # type: ignore[arg-type]
        if group.attrs.get("format") != FORMAT or not {"arrays", "about", "rows"} <= set(group.attrs):
            return None
        rows = {str(case): int(row) for case, row in group.attrs["rows"].items()}  # type: ignore[union-attr, arg-type]
        return RowStore(path, group, rows, dict(group.arrays()))
    except (ValueError, OSError, KeyError):
        return None


def _create(
    path: Path, arrays: Mapping[str, RowArray], cases: Sequence[str], about: Mapping[str, Any]
) -> None:
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    group = zarr.open_group(partial, mode="w", zarr_format=3)
    for name, array in arrays.items():
        _create_array(group, name, array, len(cases))
    _create_array(group, _WRITTEN, RowArray((), "uint8", ()), len(cases))
    group.attrs.update(
        {
            "format": FORMAT,
            "about": dict(about),
            "arrays": _description(arrays),
            "rows": {case: index for index, case in enumerate(cases)},
        }
    )
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)
    sync(path.parent)


def _create_array(group: zarr.Group, name: str, array: RowArray, rows: int) -> None:
    row = (1, *array.shape)
    chunk = row if array.chunk is None else (1, *array.chunk)
    group.create_array(
        name,
        shape=(rows, *array.shape),
        chunks=chunk,
        shards=None if chunk == row else row,
        dtype=array.dtype,
        fill_value=float("nan") if np.dtype(array.dtype).kind == "f" else 0,
        filters=None,
        compressors=[Crc32cCodec()],
        dimension_names=("row", *array.axes),
    )


def _description(arrays: Mapping[str, RowArray]) -> dict[str, Any]:
    return {
        name: {
            "shape": list(array.shape),
            "dtype": array.dtype,
            "axes": list(array.axes),
            "chunk": list(array.chunk or array.shape),
        }
        for name, array in arrays.items()
    }
