"""Named arrays in one file, a Zarr v3 ZipStore: the form of a case's latents and embeddings.

Each array is one uncompressed chunk, so that reading one of them is one seek and one copy; latents in float16 shrink
by 8 % under compression and then take three times as long to read. Zip compares the CRC-32 of a member when it is
read, so a flipped bit is an error and not data, and the fill value of floats is NaN, so a chunk that is not there
cannot be read as zeros. Equal arrays give equal bytes: members are sorted and carry no time.

Zarr writes the files, hence any reader of Zarr v3 opens them. They are read here without it, because its event loop
and metadata take four fifths of the time of a warm read.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Shaped
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from medsyn2.errors import IntegrityError


def write_arrays(
    path: Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]], axes: Mapping[str, tuple[str, ...]]
) -> None:
    """Write arrays into a new file.

    Args:
        arrays: By name; ``a/b`` is the array ``b`` of the group ``a``.
    """
    members: dict[str, Buffer] = {}
    store: Store = MemoryStore(members)
    group = zarr.create_group(store, zarr_format=3)
    for name, values in arrays.items():
        group.create_array(
            name,
            data=values,
            chunks=values.shape,
            fill_value=float("nan"),
            filters=None,
            compressors=None,
            dimension_names=axes[name],
        )
    with zipfile.ZipFile(path, "w") as archive:
        for key in sorted(members):
            # A ZipInfo without a date is of 1980, whereas `writestr` with a name alone takes the clock's.
            archive.writestr(zipfile.ZipInfo(key), members[key].to_bytes())


def read_array(path: Path, name: str) -> Shaped[np.ndarray, "..."]:
    """Read one array of a file; it cannot be written to.

    Opens and closes the file, so that processes and threads share nothing.

    Raises:
        IntegrityError: If there is no such file, or its bytes are damaged, or it has no such array.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about: dict[str, Any] = json.loads(archive.read(f"{name}/zarr.json"))
            shape, dtype = about["shape"], np.dtype(about["data_type"]).newbyteorder("<")
            chunk = archive.read("/".join([name, "c", *("0" for _ in shape)]))
        return np.frombuffer(chunk, dtype).reshape(shape)
    except FileNotFoundError as error:
        raise _error(path, "store-unreadable", "is not there") from error
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise _error(path, "store-damaged", f"is damaged: {name} cannot be read: {error}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise _error(path, "store-damaged", f"is damaged: {name} is not whole: {error}") from error


def _error(path: Path, code: str, problem: str) -> IntegrityError:
    manifest = path.parent.parent.with_suffix(".json")
    return IntegrityError(
        f"{path}, which an earlier stage wrote, {problem}.",
        code=code,
        remedy=f"put the file back, or delete the manifest {manifest} and run the workflow again; "
        "only cases whose files are missing or damaged are made again.",
    )
