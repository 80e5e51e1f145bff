"""The check of a result: a segmenter looks for the structure that its mask asked for, as ``--check`` does."""

from medsyn2.config import SegmentConfig
from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import Affine, Grid, LabelMap
from medsyn2.evaluation.control.check import Made, describe_check, look_again
from medsyn2.pipeline.edited import read_order
from medsyn2.pipeline.outputs import sidecar_path
from medsyn2.pipeline.source_file import read_source
from medsyn2.pipeline.synthetic import read_sidecar
from medsyn2.server.problems import JSON
from medsyn2.server.session import Session, item_file
from medsyn2.server.sources import open_source
from medsyn2.server.voxels import add_mask
from medsyn2.vocabulary import Side

_ONE_SIDE = 1 / 3
"""Laterality (L - R) / (L + R) from which a structure is of one side: twice as much there as on the other."""


def check_item(session: Session, grid: Grid, identifier: str) -> JSON:
    """Check a result and return its record with ``check`` and the mask that was found.

    Args:
        grid: The model's grid, on which the browser shows masks.
    """
    made, to_volume = load_made(session, identifier)
    found, problem = look_again(made, SegmentConfig())
    described = describe_check(made, found, problem)
    check = {
        **{name: described[name] for name in ("segmenter", "problem", "dice", "asked_ml", "found_ml")},
        "asked_side": side_of(described["asked_side"]),
        "side": side_of(described["found_side"]),
        "hu": described["inside_hu"],
    }
    mask = None
    if found is not None and found.any():
        moved = resample_mask(LabelMap(found, made.volume.affine_mm), grid, to_volume)
        mask = add_mask(session, moved, grid, f"found: {made.words}", made.words or "")["id"]
    return session.update("items", identifier, check=check, found=mask)


def load_made(session: Session, identifier: str) -> tuple[Made, Affine | None]:
    """Return a result as it is checked, and the way from the model's grid to its own, where they are not one."""
    path, item = item_file(session, identifier), session.read("items", identifier)
    if item["real"] is None:
        recipe, _ = read_sidecar(sidecar_path(path))
        return Made(read_ct(path), recipe.words, recipe.mask), None
    before = open_source(session, item["source"]).ct
    order, _ = read_order(sidecar_path(path), before)
    volume, _, _ = read_source(path)
    return Made(volume, order.recipe.words, order.mask, order.region, before), order.model_to_ct_lps_mm


def side_of(laterality: float | None) -> Side | str | None:
    """Return the side of a structure: ``left``, ``right`` or ``both``; None of nothing."""
    if laterality is None:
        return None
    return "both" if abs(laterality) < _ONE_SIDE else "left" if laterality > 0 else "right"
