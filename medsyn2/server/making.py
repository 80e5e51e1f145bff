"""The volumes of jobs: made by the pipeline, and kept as results of the session.

A result is the same file that ``medsyn2 generate`` or ``medsyn2 edit`` writes, with its sidecar, so that it can be made
again by the command line. Its latents lie beside it: an edit of it begins there and makes nothing twice.
"""

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from textwrap import shorten
from typing import Any

from safetensors.torch import load_file, save_file

from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import LabelMap
from medsyn2.errors import ConfigError
from medsyn2.pipeline import EditedCT, MedSyn2Pipeline, Recipe, Synthetic
from medsyn2.pipeline.ct_edit import Inside
from medsyn2.pipeline.generation import Progress
from medsyn2.pipeline.outputs import sidecar_path
from medsyn2.pipeline.synthetic import read_sidecar
from medsyn2.server.problems import JSON
from medsyn2.server.session import Session, item_file, new_id, stem_of
from medsyn2.server.sources import RealCT, open_source, scale_of, show_ct
from medsyn2.server.voxels import add_volume, read_mask
from medsyn2.weights.bundled import bundled_model

_LATENTS = "latents.safetensors"
_NAME_PART = 40
"""Characters of the mask's words, or of the report, in a result's name."""

Order = Mapping[str, Any]
Made = Synthetic | EditedCT


def make_volume(pipeline: MedSyn2Pipeline, session: Session, model: Path, order: Order, progress: Progress) -> str:
    """Make the volume of an order, add it to the session and return its id.

    Args:
        model: The model's folder, for the command that makes the volume again.

    Raises:
        CaseError: If the report, the mask or the CT cannot be used.
        ConfigError: If the order makes no sense.
    """
    start = _find_start(session, order)
    made = _make(pipeline, session, order, start, progress)
    item = new_id()
    record = {**_describe(order, made, start, session), "volume": _show(pipeline, session, made, item)}

    def write(folder: Path) -> None:
        path = folder / f"{stem_of(item)}.nii.gz"
        if isinstance(made, EditedCT):
            assert isinstance(start, RealCT)
            made.save(path, start.file)
        else:
            made.save(path)
            save_file({"latents": made.latents.contiguous()}, folder / _LATENTS)
        record["recipe"] = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
        record["command"] = command_of(model, item, is_edited=isinstance(made, EditedCT))

    return session.add("items", write, record, item)  # which writes the record after the files


def command_of(model: Path, item: str, *, is_edited: bool) -> str:
    """Return the command that makes a result again, in the folder of its files."""
    verb = ["edit", "--ct", "YOUR_CT"] if is_edited else ["generate"]
    again = ["--from-sidecar", f"{stem_of(item)}.json", "--output", "again.nii.gz"]
    by = [] if model == bundled_model() else ["--model", str(model)]
    return shlex.join(["medsyn2", *verb, *by, *again])


def _find_start(session: Session, order: Order) -> Synthetic | RealCT | None:
    """Return the volume that an order changes."""
    source = order["source"]
    if order["kind"] == "generate" or source is None:
        if order["kind"] == "generate" and source is None:
            return None
        raise ConfigError(
            "expected a volume to change for an edit, and none for a new volume.",
            code="edit-without-source",
            remedy="choose a result or open a CT, then edit it; or generate without one.",
        )
    if not (session.root / "items" / source).is_dir() or session.read("items", source)["real"] is not None:
        return open_source(session, source)
    path = item_file(session, source)
    recipe, model = read_sidecar(sidecar_path(path))
    return Synthetic(read_ct(path), recipe, model, load_file(path.with_name(_LATENTS))["latents"])


def _make(
    pipeline: MedSyn2Pipeline, session: Session, order: Order, start: Synthetic | RealCT | None, progress: Progress
) -> Made:
    masks = {
        name: None if order[name] is None else read_mask(session, order[name], pipeline.grid)
        for name in ("mask", "region", "remove")
    }
    has_words = masks["mask"] is not None or masks["remove"] is not None
    asked: dict[str, Any] = {
        "findings": order["findings"],
        "impression": order["impression"],
        "mask_text": order["words"] if has_words else None,
        "sampling": replace(pipeline.sampling, **order["sampling"]),
        "progress": progress,
    }
    if isinstance(start, RealCT):
        return _edit_ct(pipeline, order, start, masks, asked)
    if masks["region"] is not None or masks["remove"] is not None:
        raise ConfigError(
            "a region would have no effect on a volume that the model made.",
            code="option-without-effect",
            remedy="leave the region out, or edit a real CT.",
        )
    if start is None:
        return pipeline(mask=masks["mask"], seed=order["seed"], **asked)
    if order["seeds"] != [order["seed"]]:
        raise ConfigError(
            "several seeds would have no effect on an edit, which keeps the noise of the volume that it changes.",
            code="option-without-effect",
            remedy="give one seed; another strength or report gives another edit.",
        )
    return pipeline.edit(start, mask=masks["mask"], strength=order["strength"], **asked)


def _edit_ct(
    pipeline: MedSyn2Pipeline,
    order: Order,
    start: RealCT,
    masks: Mapping[str, LabelMap | None],
    asked: Mapping[str, Any],
) -> EditedCT:
    moved = {name: None if mask is None else start.bring(mask) for name, mask in masks.items()}
    inside = Inside(
        region=moved["region"],
        remove=moved["remove"],
        margin_mm=None if moved["region"] is not None else order["margin_mm"],
        align=lambda ct: start.alignment,
        seed=order["seed"],
    )
    return pipeline.edit(start.ct, mask=moved["mask"], strength=order["strength"], **asked, **inside)


def _recipe(made: Made) -> Recipe:
    return made.order.recipe if isinstance(made, EditedCT) else made.recipe


def _describe(order: Order, made: Made, start: Synthetic | RealCT | None, session: Session) -> JSON:
    """Return the record of a result, without its files."""
    recipe = _recipe(made)
    before = order["source"]
    if before is not None and (session.root / "items" / before).is_dir():
        before = session.read("items", before)["volume"]
    return {
        "kind": order["kind"],
        "created": round(time.time(), 3),
        "name": _name(order, recipe, session),
        "before": before,
        "source": order["source"],
        "real": start.root if isinstance(start, RealCT) else None,
        "mask": order["mask"],
        "found": None,
        "check": None,
        "report": recipe.report,
        "words": recipe.words,
        "seed": recipe.seed,
        "strength": recipe.strength,
        "sampling": asdict(recipe.sampling),
        "notes": list(recipe.notes),
    }


def _name(order: Order, recipe: Recipe, session: Session) -> str:
    """Return a name that no other result has: the mask's words or the report, the change, the seed."""
    words, report = (
        shorten((text or "").rstrip("."), _NAME_PART, placeholder=" ...") for text in (recipe.words, recipe.report)
    )
    if words and order["mask"] is None:
        words = f"without {words}"
    parts = [
        words or report or "no condition",
        "" if recipe.strength is None else f"strength {recipe.strength:g}",
        f"seed {recipe.seed}",
    ]
    name = ", ".join(filter(None, parts))
    taken = {item["name"] for item in session.all("items")}
    again = (f"{name} ({number})" for number in count(2))
    return name if name not in taken else next(one for one in again if one not in taken)


def _show(pipeline: MedSyn2Pipeline, session: Session, made: Made, item: str) -> str:
    """Add the volume of the browser and return its id."""
    volume = made.volume
    facts: dict[str, Any] = {}
    if isinstance(made, EditedCT):
        to_ct = made.order.model_to_ct_lps_mm
        volume, facts = show_ct(volume, pipeline.grid, to_ct), {"scale": scale_of(pipeline.grid, to_ct)}
    return str(add_volume(session, volume, "synthetic", stem_of(item), item=item, **facts)["id"])
