"""Editing a real CT: from the CT to its edited copy, in steps.

    CT --registration--> model's grid --tokenizer--> latents --noise, solver--> latents --tokenizer--> model's grid
                                                  |  outside the region: the CT's own, noised  |
    CT with the region's voxels replaced  <--registration, blend-------------------------------+

Outside the region no voxel changes. The solver sees the CT there at every time (``flow/inpainting.py``), so that its
result inside continues it; the tokenizer's own errors never leave the region.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypedDict

import numpy as np

from medsyn2.ct.compositing import insert
from medsyn2.ct.edit_region import EditRegion, find_edit_region
from medsyn2.ct.registration.affine import resample_to_grid
from medsyn2.ct.registration.alignment import Alignment
from medsyn2.ct.volume import Affine, CTVolume, LabelMap
from medsyn2.errors import ConfigError, MaskError, WeightsError
from medsyn2.flow.sampling import to_float, to_int
from medsyn2.pipeline.edited import EditedCT, EditOrder, hash_ct
from medsyn2.pipeline.generation import Generation, Start, Step
from medsyn2.pipeline.synthetic import Recipe

BLEND_MM = 5.0
"""Width of the blend: about that of a latent of the paper's grid, 8 voxels of 0.7 mm, which is as far as the latents
outside the region reach into it; and half the default margin, so that it leaves the mask's own voxels alone."""
STRENGTH = 1.0
"""Nothing of the region is kept, as the CT around it is; less keeps some of the tissue that it had."""
_MOST = 0.5
"""Share of the latents that a region may change: beyond it more would be made than kept, which is no edit."""


class Inside(TypedDict, total=False):
    """What an edit of a real CT is told beside its conditions."""

    region: LabelMap | None
    """Where the CT may change, on any grid."""
    remove: LabelMap | None
    """Where the structure is now and shall not be; it widens the region."""
    margin_mm: float | None
    """Distance from the masks to the region's border, where no region is given; None is 10 mm."""
    blend_mm: float
    """Width of the blend inside the region's border."""
    resamplings: int
    """Solutions of each step, as in RePaint; 1 is none of its resampling."""
    align: Callable[[CTVolume], Alignment] | None
    """Registers the CT to the model, once all that needs no registration is checked; None is `align_ct`."""
    seed: int
    """Of the noise."""


def align_ct(generation: Generation, ct: CTVolume) -> Alignment:
    """Register a real CT, in HU, to the model's grid.

    Raises:
        RegistrationError: If it is no whole chest, lies otherwise, or cannot be registered well enough.
        WeightsError: If the model brings no template.
    """
    if generation.reference is None:
        raise WeightsError(
            "expected a model with the template that its volumes lie on, got one without.",
            code="model-without-template",
            remedy="run the workflow again with this version, which adds the template to the model's folder and trains "
            "nothing anew; or give the registration.",
        )
    return generation.reference.align(ct)


def place_edit(
    generation: Generation, ct: CTVolume, mask: LabelMap | None, inside: Inside
) -> tuple[EditRegion, Affine]:
    """Register a CT, unless that is given, and bring the masks of an edit to both grids.

    Raises:
        MaskError: If a mask or the region cannot be used.
        ConfigError: If a number cannot.
    """
    blend_mm = to_float(inside.get("blend_mm", BLEND_MM), "blend_mm")
    resamplings = to_int(inside.get("resamplings", 1), "resamplings")
    if blend_mm < 0 or resamplings < 1:
        raise ConfigError(
            f"expected a blend from 0 mm and 1 resampling or more, got {blend_mm:g} mm and {resamplings}.",
            code="edit-numbers",
            remedy=f"leave them out: {BLEND_MM:g} mm and 1 are the defaults.",
        )
    align = inside.get("align") or partial(align_ct, generation)
    margin = inside.get("margin_mm")
    place, matrix = find_edit_region(
        ct.grid,
        generation.grid,
        lambda: align(ct).template_to_native_lps_mm,
        mask=mask,
        remove=inside.get("remove"),
        region=inside.get("region"),
        margin_mm=None if margin is None else to_float(margin, "margin_mm"),
    )
    share = float(generation.latent_region(place.model_region).float().mean())
    if share > _MOST:
        raise MaskError(
            f"expected a region that leaves most of the CT as it is, got one of {share:.0%} of the model's grid.",
            code="region-too-large",
            remedy="give a smaller region or margin; a whole new volume is made by `medsyn2 generate`.",
        )
    return place, matrix


def order_edit(
    generation: Generation, ct: CTVolume, place: EditRegion, matrix: Affine, recipe: Recipe, inside: Inside
) -> EditOrder:
    """Return the order of an edit whose conditions are checked."""
    low, high = generation.description.grid.clip_hu
    values = ct.hu[place.region]
    beyond = float(np.mean((values < low) | (values > high)))
    notes = (f"{beyond:.1%} of the region lie beyond the {low:g} to {high:g} HU that the model makes",)
    recipe = replace(recipe, notes=(*place.notes, *recipe.notes, *(notes if beyond >= 0.001 else ())))
    blend_mm, resamplings = float(inside.get("blend_mm", BLEND_MM)), int(inside.get("resamplings", 1))
    return EditOrder(recipe, hash_ct(ct), matrix, place.region, place.mask, blend_mm, resamplings)


def edit_steps(
    generation: Generation, ct: CTVolume, order: EditOrder, model_region: np.ndarray
) -> Iterator[tuple[Step, EditedCT | None]]:
    """Follow an order and yield each step; the last one with the edited CT.

    Args:
        model_region: The region on the model's grid.
    """
    on_grid = resample_to_grid(ct, generation.grid, order.model_to_ct_lps_mm)
    latents = generation.encode(on_grid, order.recipe.precision)
    start = Start(latents, generation.latent_region(model_region), order.resamplings)
    to_model = np.linalg.inv(order.model_to_ct_lps_mm)
    for step in generation.steps(order.recipe, start):
        if step.result is None:
            yield step, None
            continue
        made = step.result.volume
        volume = insert(ct, made, order.region, to_model, blend_mm=order.blend_mm)
        recipe = step.result.recipe  # with the notes about its texts
        yield step, EditedCT(volume, ct, replace(order, recipe=recipe), step.result.model, made)
