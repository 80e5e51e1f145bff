"""Where a real CT is edited: its region and its mask, on the CT's own grid and on the model's.

The region is given, or lies around the mask and around what is to go. Both masks may lie on any grid in the CT's world;
one that lies on the model's grid, such as a mask of another volume of the model, is brought by the registration. What
the model cannot make, because its grid does not reach there, stays as it is and is noted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from medsyn2.ct.binary_mask import binarize, mask_to_grid, same_grid
from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.mask_edits import grow_mask
from medsyn2.ct.volume import Affine, Grid, LabelMap
from medsyn2.errors import ConfigError, MaskError
from medsyn2.types import Bool

MARGIN_MM = 10.0
"""Distance of the region's border from what is added or taken away: room for the blend and for a lesion's surroundings,
such as the vessels that lead to it."""
_LEAST_LOST = 0.01
_MOST_LOST = 0.5

Mask = Bool[np.ndarray, "d h w"]
ModelMask = Bool[np.ndarray, "md mh mw"]


@dataclass(frozen=True, eq=False)
class EditRegion:
    """The place of an edit."""

    region: Mask  # Voxels of the CT that may change
    mask: Mask | None  # The structure that is asked for, on the CT's grid; None for none
    model_region: ModelMask  # The region on the model's grid: every voxel that it reaches into
    model_mask: LabelMap | None  # The mask on the model's grid
    notes: tuple[str, ...]  # Remarks for the user


def find_edit_region(
    ct: Grid,
    model: Grid,
    align: Callable[[], Affine],
    *,
    mask: LabelMap | None,
    remove: LabelMap | None,
    region: LabelMap | None,
    margin_mm: float | None,
) -> tuple[EditRegion, Affine]:
    """Bring the masks of an edit to both grids and check that they can be followed.

    Args:
        align: Returns the registration, world of the model's grid to world of the CT; it is asked as late as can be.
        mask: The structure that is asked for; an empty one, or `remove` without one, asks for none of it.
        remove: Where the structure is now and shall not be; it only widens the region.
        region: Where the CT may change; None for what lies within `margin_mm` of `mask` and `remove`.
        margin_mm: None is 10 mm.

    Returns:
        The region, and the registration.

    Raises:
        ConfigError: If both a region and a margin are given.
        MaskError: If a mask lies elsewhere, or the region is empty or holds nothing of what is asked for.
    """
    if region is not None and margin_mm is not None:
        raise ConfigError(
            "expected a region or a margin, got both.",
            code="region-twice",
            remedy="give the region where the CT may change, or the margin around the masks.",
        )
    notes: list[str] = []
    model_to_ct = cache(align)

    def bring(given: LabelMap | None, name: str) -> Mask | None:
        if given is None:
            return None
        inside, reading = binarize(given.labels, name)
        labels = LabelMap(inside, given.affine_mm)
        of_model = given.shape == model.shape and same_grid(given.affine_mm, model) and given.grid != ct
        placed, moving = mask_to_grid(labels, ct, np.linalg.inv(model_to_ct()) if of_model else None, of="the CT")
        notes.extend(f"{name}: {note}" for note in (*reading, *moving))
        return placed

    asked, gone, place = bring(mask, "the mask"), bring(remove, "what is removed"), bring(region, "the region")
    if asked is None and gone is not None:
        asked = np.zeros(ct.shape, dtype=bool)
    if place is None:
        place = _around([one for one in (asked, gone) if one is not None], margin_mm, ct)
    if not place.any():
        raise _no_region("got an empty one", "give a region that is 1 where the CT may change, or a margin.")
    _compare(place, asked, gone, notes)
    matrix = model_to_ct()
    on_model = _region_on_model(place, ct, model, matrix, notes)
    model_mask = None
    if asked is not None:
        placed, moving = mask_to_grid(LabelMap(asked, ct.affine_mm), model, matrix)
        notes += [note for note in moving if "lie outside" in note]
        model_mask = LabelMap(placed, model.affine_mm)
    return EditRegion(place, asked, on_model, model_mask, tuple(dict.fromkeys(notes))), matrix


def _no_region(found: str, remedy: str) -> MaskError:
    return MaskError(f"expected a region to change, {found}.", code="region-empty", remedy=remedy)


def _around(masks: list[Mask], margin_mm: float | None, ct: Grid) -> Mask:
    margin = MARGIN_MM if margin_mm is None else margin_mm
    if not 0 <= margin < np.inf:
        raise ConfigError(
            f"expected a margin from 0 mm on, got {margin}.", code="margin-invalid", remedy="10 mm suits most lesions."
        )
    middle = np.zeros(ct.shape, dtype=bool)
    for mask in masks:
        middle |= mask
    if not middle.any():
        raise _no_region(
            "got none: there is no mask that a margin could be around",
            "give a mask of what is to come, of what is to go (remove), or the region itself.",
        )
    return grow_mask(middle, margin, ct.spacing_mm)


def _region_on_model(region: Mask, ct: Grid, model: Grid, model_to_ct_lps_mm: Affine, notes: list[str]) -> ModelMask:
    moved = resample_mask(LabelMap(region, ct.affine_mm), model, model_to_ct_lps_mm, threshold=0.0)
    lost = _share_beyond(region, ct, model, model_to_ct_lps_mm)
    if not moved.any() or lost > _MOST_LOST:
        raise MaskError(
            f"{lost:.0%} of the region lie where the model makes nothing: beyond its grid around the lungs.",
            code="region-outside-grid",
            remedy="the model knows the chest as far as its template reaches; give a region nearer to the lungs.",
        )
    if lost > _LEAST_LOST:
        notes.append(f"{lost:.0%} of the region lie beyond the model's grid and stay as they are")
    return moved


def _share_beyond(region: Mask, ct: Grid, model: Grid, model_to_ct_lps_mm: Affine) -> float:
    """Return the share of a region's voxels whose centres lie beyond the model's grid."""
    to_model = np.linalg.inv(model_to_ct_lps_mm @ model.affine_mm) @ ct.affine_mm
    index = np.argwhere(region) @ to_model[:3, :3].T + to_model[:3, 3]
    beyond = ((index < -0.5) | (index > np.array(model.shape) - 0.5)).any(axis=1)
    return float(beyond.mean())


def _compare(region: Mask, asked: Mask | None, gone: Mask | None, notes: list[str]) -> None:
    """Refuse a region beside everything that is asked for, and note what lies outside it."""
    named = [(name, mask) for name, mask in (("the mask", asked), ("what is removed", gone)) if mask is not None]
    masks = [(name, mask) for name, mask in named if mask.any()]
    if masks and not any((mask & region).any() for _, mask in masks):
        raise MaskError(
            "expected a region that holds something of what is asked for, got one beside it.",
            code="mask-outside-region",
            remedy="the CT changes inside the region alone; give a region around the mask, or a margin.",
        )
    for name, mask in masks:
        outside = float(np.count_nonzero(mask & ~region)) / np.count_nonzero(mask)
        if outside > 0:
            notes.append(f"{outside:.0%} of {name} lie outside the region, where nothing changes")
