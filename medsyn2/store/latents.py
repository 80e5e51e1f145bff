"""The latents of a case, an artefact of its folder: ``image``, and ``masks/<structure>`` for each mask that is present.

    <shard>/<case>/latents.zarr.zip           (z, ld, lh, lw) each, as the encoder gives them: not normalised
    <shard>/(empty mask)/latents.zarr.zip     ``image``: the latents of an all-background mask

A mask that is *absent* was never made, and the network will see zeros after normalisation. A mask that is *empty* was
made and found nothing: its latents are those of an all-background mask, the same for every case, and therefore stored
once a shard, as if `EMPTY_MASK` were a case. Neither is in the case's file: the case's record tells them apart.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from medsyn2.errors import WeightsError
from medsyn2.store.array_file import read_array, write_arrays
from medsyn2.vocabulary import Structure

LATENTS = "latents.zarr.zip"

EMPTY_MASK = "(empty mask)"
"""Name under which a shard keeps the all-background mask; no case can be called so."""

Latents = Float[np.ndarray, "z ld lh lw"]
_AXES = ("channel", "depth", "height", "width")


def write_latents(folder: Path, case: str, image: Latents, masks: Mapping[Structure, Latents]) -> None:
    """Write the latents of a volume and of the masks that are present into a case's folder.

    Raises:
        WeightsError: If a latent is not a finite number.
    """
    arrays = {"image": image, **{f"masks/{name}": latents for name, latents in masks.items()}}
    for name, latents in arrays.items():
        if not np.isfinite(latents).all():
            raise WeightsError(
                f"The latents {name} of case {case} are not all finite in {latents.dtype}.",
                code="latents-not-finite",
                remedy="the tokenizer is probably damaged or badly trained; look at its losses.",
            )
    write_arrays(folder / LATENTS, arrays, dict.fromkeys(arrays, _AXES))


def read_image(folder: Path) -> Latents:
    """Return the latents of a volume as they are stored in a case's folder; the array cannot be written to.

    Raises:
        IntegrityError: If they are not there or damaged.
    """
    return read_array(folder / LATENTS, "image")


def read_mask(folder: Path, structure: Structure) -> Latents:
    """Return the latents of a mask that is present, as `read_image` does for the volume."""
    return read_array(folder / LATENTS, f"masks/{structure}")


def read_empty_mask(shard: Path) -> Latents:
    """Return the latents of an all-background mask from a shard's folder."""
    return read_image(shard / EMPTY_MASK)
