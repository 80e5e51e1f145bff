"""The latents of a shard's volumes and masks on disk: a row store (``row_store.py``).

    image   (row, z, ld, lh, lw)              one chunk a case
    masks   (row, structure, z, ld, lh, lw)   one file a case, one chunk a structure inside it
    states  (row, structure)                  0 nothing written, 1 absent, 2 empty, 3 present

Latents are stored as the encoder gives them, not normalised. A mask that is *absent* was never made: nothing
is stored, and the network will see zeros after normalisation. A mask that is *empty* was made and found
nothing: its latents are those of an all-background mask, the same for every case, and therefore stored once,
in the row `EMPTY_MASK`. A mask that is *present* but whose chunk is not there is damage, and is said so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from medsyn2.errors import WeightsError
from medsyn2.store.row_store import RowArray, RowStore, open_row_store, open_row_store_for_writing
from medsyn2.vocabulary import STRUCTURES, Structure

MaskState = Literal["absent", "empty", "present"]
MASK_STATES: tuple[MaskState, ...] = get_args(MaskState)
EMPTY_MASK = "(empty mask)"
"""Name of the row that holds the all-background mask; no case can be called so."""

Latents = Float[np.ndarray, "z ld lh lw"]
_AXES = ("channel", "depth", "height", "width")


@dataclass(frozen=True)
class LatentStore:
    """The latents of some cases, by case id."""

    store: RowStore

    @classmethod
    def open(cls, path: Path) -> "LatentStore":
        """Open a store for reading.

        Raises:
            IntegrityError: If `path` is no such store.
        """
        return cls(open_row_store(path))

    @classmethod
    def open_for_writing(
        cls,
        path: Path,
        cases: Sequence[str],
        *,
        shape: tuple[int, int, int, int],
        dtype: str,
        about: Mapping[str, Any],
    ) -> "LatentStore":
        """Open the store at `path` with a row for each of `cases`, or make it anew.

        Args:
            path: The store's folder.
            cases: The shard's cases.
            shape: Of one volume's latents (z, ld, lh, lw).
            dtype: float16 or float32.
            about: JSON values that say how the latents were made; a store with other ones is discarded.
        """
        num_structures = len(STRUCTURES)
        arrays = {
            "image": RowArray(shape, dtype, _AXES),
            "masks": RowArray((num_structures, *shape), dtype, ("structure", *_AXES), (1, *shape)),
            "states": RowArray((num_structures,), "uint8", ("structure",)),
        }
        about = {**about, "structures": list(STRUCTURES), "shape": list(shape)}
        return cls(open_row_store_for_writing(path, arrays, [EMPTY_MASK, *cases], about))

    @property
    def about(self) -> dict[str, Any]:
        """How the latents were made, and their ``shape``."""
        return self.store.attributes

    def write_empty_mask(self, latents: Latents) -> None:
        """Write the latents of an all-background mask."""
        self.write(EMPTY_MASK, latents, {}, dict.fromkeys(STRUCTURES, "absent"))

    def write(
        self,
        case: str,
        image: Latents,
        masks: Mapping[Structure, Latents],
        states: Mapping[Structure, MaskState],
    ) -> dict[str, str]:
        """Write one case and return the sha256 of each file of its row.

        Args:
            case: A case of the store.
            image: Latents of the volume.
            masks: Latents of each mask that is present.
            states: State of every structure's mask.

        Raises:
            WeightsError: If a latent is not a finite number in the store's type.
        """
        assert {name for name, state in states.items() if state == "present"} == set(masks)
        dtype = self.store.arrays["image"].dtype
        block = np.full(self.store.arrays["masks"].shape[1:], np.nan, dtype)
        for structure, latents in masks.items():
            block[STRUCTURES.index(structure)] = self._stored(case, structure, latents)
        numbers = [1 + MASK_STATES.index(states[structure]) for structure in STRUCTURES]
        row = {
            "image": self._stored(case, "image", image),
            "masks": block,
            "states": np.array(numbers, np.uint8),
        }
        return self.store.write(case, row)

    def image(self, case: str) -> Latents:
        """Return the latents of a volume as they are stored.

        Raises:
            IntegrityError: If they are not there or damaged.
        """
        return self._checked(case, "image", self.store.read(case, "image"))

    def states(self, case: str) -> dict[Structure, MaskState]:
        """Return the state of every structure's mask.

        Raises:
            IntegrityError: If they are not there or damaged.
        """
        numbers = self.store.read(case, "states")
        if not ((numbers >= 1) & (numbers <= len(MASK_STATES))).all():
            raise self.store.damaged(case, f"its states are {numbers.tolist()}")
        return {name: MASK_STATES[number - 1] for name, number in zip(STRUCTURES, numbers, strict=True)}

    def mask(self, case: str, structure: Structure) -> Latents | None:
        """Return the latents of a mask as they are stored, those of an empty one, or None if it is absent.

        Raises:
            IntegrityError: If they are not there or damaged.
        """
        state = self.states(case)[structure]
        if state == "absent":
            return None
        if state == "empty":
            return self.image(EMPTY_MASK)
        return self._checked(case, structure, self.store.read(case, "masks", STRUCTURES.index(structure)))

    def _stored(self, case: str, name: str, latents: Latents) -> Latents:
        with np.errstate(over="ignore"):
            stored = latents.astype(self.store.arrays["image"].dtype)
        if not np.isfinite(stored).all():
            raise WeightsError(
                f"The latents of {name} of case {case} are not all finite in {stored.dtype}.",
                code="latents-not-finite",
                remedy="the tokenizer is probably damaged or badly trained; look at its losses.",
            )
        return stored

    def _checked(self, case: str, name: str, latents: Latents) -> Latents:
        if np.isnan(latents).any():
            raise self.store.damaged(case, f"the latents of {name} are not there")
        return latents
