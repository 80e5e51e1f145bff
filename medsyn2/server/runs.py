"""Masks as runs: the lengths of alternating stretches of background and foreground, in the order of the voxels.

    uint32, little-endian: voxels of background, of foreground, of background, ...

The first length is of background and may be 0. A mask that a person draws has a few thousand runs where its grid of
448 x 448 x 448 has 90 million voxels.
"""

import numpy as np
from jaxtyping import Bool

from medsyn2.ct.volume import Shape
from medsyn2.errors import MaskError

LENGTH = np.dtype("<u4")


def encode_runs(mask: Bool[np.ndarray, "d h w"]) -> bytes:
    """Return the runs of a mask."""
    flat = np.ascontiguousarray(mask).reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    lengths = np.diff(edges)
    if flat.size and flat[0]:
        lengths = np.concatenate(([0], lengths))
    return lengths.astype(LENGTH).tobytes()


def decode_runs(content: bytes, shape: Shape) -> Bool[np.ndarray, "d h w"]:
    """Return the mask of runs.

    Raises:
        MaskError: If the lengths do not fill the grid exactly.
    """
    voxels = int(np.prod(shape))
    whole = len(content) % LENGTH.itemsize == 0
    lengths = np.frombuffer(content, LENGTH) if whole else np.empty(0, LENGTH)
    if not whole or int(lengths.sum(dtype=np.uint64)) != voxels:
        raise MaskError(
            f"expected runs of {voxels:,} voxels in all, got {len(content):,} bytes that hold "
            f"{int(lengths.sum(dtype=np.uint64)):,}.",
            code="runs-wrong",
            remedy="load the page again: it shows another grid than the model's.",
        )
    values = np.zeros(len(lengths), dtype=bool)
    values[1::2] = True
    return np.repeat(values, lengths).reshape(shape)


def max_bytes(shape: Shape) -> int:
    """Return the bytes that runs of a grid may have: those of a mask whose every fourth voxel begins one."""
    return LENGTH.itemsize * (int(np.prod(shape)) // 4 + 1)
