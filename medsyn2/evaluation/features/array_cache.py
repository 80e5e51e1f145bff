"""Arrays of single volumes on the disk, in files that are named by a hash of everything that decides them.

A large cohort has several files a volume, so they are spread over 256 folders. Beside each array lies a hash of its
values and of the file's name, so that a file in another's place is seen as a damaged one is.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medsyn2.errors import IntegrityError, reason
from medsyn2.files import write_atomically

_DIGEST = ".sha256"


def cached_path(cache: Path, decided_by: Sequence[object]) -> Path:
    """Return the file of the arrays that these JSON values decide."""
    name = hashlib.sha256(json.dumps(list(decided_by)).encode()).hexdigest()
    return cache / name[:2] / f"{name}.npz"


def write_arrays(place: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name."""
    digests = {f"{name}{_DIGEST}": np.array(_digest(place, name, values)) for name, values in arrays.items()}
    write_atomically(place, partial(_save, arrays={**arrays, **digests}))


def read_array(place: Path, name: str) -> np.ndarray:
    """Read one of the arrays of a file.

    Raises:
        IntegrityError: If the file is damaged, or is that of other arrays.
    """
    try:
        with zipfile.ZipFile(place) as archive:
            array = _member(archive, name)
            # Files of earlier versions have none.
            known = f"{name}{_DIGEST}.npy" in archive.namelist()
            if known and str(_member(archive, f"{name}{_DIGEST}")) != _digest(place, name, array):
                raise ValueError("its values are not those that were written to this place")
            return array
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise IntegrityError(
            f"{place} is not the file of features that was written: {reason(error)}.",
            code="features-unreadable",
            remedy=f"`rm {place}` and run the workflow again; only that volume is extracted again.",
        ) from error


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return an array whose CRC-32, of header and values, is right."""
    array: np.ndarray = np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
    return array


def _digest(place: Path, name: str, values: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps([place.name, name, values.dtype.str, values.shape]).encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)
