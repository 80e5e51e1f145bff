"""Arrays of single volumes on the disk, in files that are named by a hash of everything that decides them.

A large cohort has several files a volume, so they are spread over 256 folders.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from medsyn2.errors import EnvironmentFault
from medsyn2.files import write_atomically


def cached_path(cache: Path, decided_by: Sequence[object]) -> Path:
    """Return the file of the arrays that these JSON values decide."""
    name = hashlib.sha256(json.dumps(list(decided_by)).encode()).hexdigest()
    return cache / name[:2] / f"{name}.npz"


def write_arrays(place: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name."""
    write_atomically(place, partial(_save, arrays=dict(arrays)))


def read_array(place: Path, name: str) -> np.ndarray:
    """Read one of the arrays of a file.

    Raises:
        EnvironmentFault: If the file is damaged.
    """
    try:
        with np.load(place, allow_pickle=False) as arrays:
            array: np.ndarray = arrays[name]
            return array
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise EnvironmentFault(
            f"{place} is no file of features: {error}.",
            code="features-unreadable",
            remedy="delete it and run again; only that volume is extracted again.",
        ) from error


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)
