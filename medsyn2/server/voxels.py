"""Volumes and masks of a session, as the browser takes them.

A volume is int16 HU, little-endian, in the order (depth, height, width), compressed slice by slice so that nothing
holds it twice. A browser takes longer to undo that than this machine does: to one on this machine, the voxels go
without it. Masks lie on the model's grid, and so do the volumes that the model makes; a real CT lies over it, at the
CT's resolution.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from isal import igzip
from jaxtyping import Bool

from medsyn2.ct.masks import volume_ml
from medsyn2.ct.volume import CTVolume, Grid, LabelMap
from medsyn2.ct.voxel_file import orientation_of
from medsyn2.errors import MaskError
from medsyn2.server.problems import JSON, Refusal
from medsyn2.server.runs import decode_runs, encode_runs
from medsyn2.server.session import Session
from medsyn2.vocabulary import structure_of

VoxelKind = Literal["synthetic", "real", "preview", "template"]
VOXELS, RUNS = "voxels.gz", "runs.bin"
_LEVEL = 1
"""Of compression: a browser waits for it."""
_PART_BYTES = 1 << 20
"""Of a volume on its way to the browser; smaller ones take longer, larger ones more memory."""


def add_volume(
    session: Session, volume: CTVolume, kind: VoxelKind, name: str, identifier: str = "", **more: object
) -> JSON:
    """Put a volume into the session and return its header.

    Args:
        identifier: Its id, if it was drawn already.
    """
    header = {**describe_grid(volume.grid), "kind": kind, "name": name, "dtype": "int16", "hu": True, **more}
    identifier = session.add("volumes", lambda folder: write_voxels(folder / VOXELS, volume), header, identifier)
    return {"id": identifier, **header}


def write_voxels(path: Path, volume: CTVolume) -> None:
    """Write compressed voxels, a slice at a time."""
    with igzip.open(path, "wb", compresslevel=_LEVEL) as file:
        for plane in volume.hu:
            file.write(np.ascontiguousarray(plane, dtype="<i2").data)


def open_voxels(path: Path) -> Iterator[bytes]:
    """Return the voxels of a file in parts, without the compression.

    Raises:
        OSError: If there is no such file.
    """
    file = igzip.open(path, "rb")

    def read() -> Iterator[bytes]:
        with file:
            while part := file.read(_PART_BYTES):
                yield part

    return read()


def describe_grid(grid: Grid) -> JSON:
    """Return a grid as JSON values."""
    return {
        "shape": [int(size) for size in grid.shape],
        "spacing_mm": [round(float(size), 6) for size in grid.spacing_mm],
        "affine": grid.affine_mm.tolist(),
        "axes": orientation_of(grid.affine_mm),
    }


def add_mask(session: Session, mask: Bool[np.ndarray, "d h w"], grid: Grid, name: str, words: str) -> JSON:
    """Put a mask on the model's grid into the session and return its record."""
    structure = structure_of(words)
    record = {
        "name": name,
        "words": words,
        "structure": structure,
        "volume_ml": round(float(volume_ml(mask, grid.spacing_mm)), 3),
        "grid": {"shape": list(grid.shape), "affine": grid.affine_mm.tolist()},
    }
    content = encode_runs(mask)
    identifier = session.add("masks", lambda folder: (folder / RUNS).write_bytes(content), record)
    return {"id": identifier, **record}


def read_mask(session: Session, identifier: str, grid: Grid) -> LabelMap:
    """Return a mask of the session on the model's grid.

    Raises:
        Refusal: If there is none of this id, or it lies on the grid of another model.
        MaskError: If its file was damaged.
    """
    record = session.read("masks", identifier)
    if record["grid"] != {"shape": list(grid.shape), "affine": grid.affine_mm.tolist()}:
        raise Refusal(
            409,
            f"the mask {record['name']!r} was drawn on the grid of another model.",
            code="mask-other-grid",
            remedy="save it with the model that it was drawn for, and open the file here.",
        )
    try:
        content = (session.find("masks", identifier) / RUNS).read_bytes()
    except OSError as error:
        raise MaskError("the mask's file is gone.", code="runs-wrong", remedy="draw or open it again.") from error
    return LabelMap(decode_runs(content, grid.shape), grid.affine_mm)
