"""Files that a person opens: a real CT is registered and shown in the model's space, a mask is brought to its grid.

A CT of a model's making is registered like any other, and shown as synthetic. A mask lies in the model's space, or
in that of a real CT that was opened before. A map of several labels, and a segmentation of several segments, are as
many masks.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from medsyn2.ct.binary_mask import mask_to_grid
from medsyn2.ct.registration.reference import Reference
from medsyn2.ct.volume import Grid, LabelMap
from medsyn2.dicom.archive import unpack
from medsyn2.dicom.segments import MAX_SEGMENTS, read_segments
from medsyn2.errors import MaskError
from medsyn2.formats import read_labels, read_mask
from medsyn2.pipeline.marks import find_mark
from medsyn2.pipeline.source_file import read_source
from medsyn2.server.problems import JSON, Refusal
from medsyn2.server.session import Session, new_id
from medsyn2.server.sources import add_source, alignment_of, scale_of, show_ct
from medsyn2.server.voxels import add_mask, add_volume
from medsyn2.vocabulary import STRUCTURE_WORDS


def open_ct(session: Session, reference: Reference | None, grid: Grid, path: Path, name: str) -> JSON:
    """Register a CT, keep it, and return the header of its volume, which lies over the model's grid.

    Args:
        path: The upload, which is moved.

    Raises:
        CaseError: If it is no usable chest CT, or cannot be registered.
        Refusal: If the model has no template.
    """
    if reference is None:
        raise Refusal(
            400,
            "this model brings no template, so that no real CT can be placed on its grid.",
            code="model-without-template",
            remedy="take a model that was trained with this version; generated volumes can be edited without one.",
        )
    folder = session.work("")
    folder.mkdir()
    try:
        place = folder / f"ct{''.join(path.suffixes)}"
        if path.suffix == ".zip":
            place = folder / "slices"
            unpack(path, place)
        else:
            path.rename(place)
        ct, _, notes = read_source(place)
        mark = find_mark(place)
        alignment = reference.align(ct)
        to_ct = alignment.template_to_native_lps_mm
        volume = show_ct(ct, grid, to_ct)
        identifier = new_id()
        add_source(session, identifier, place, alignment)
        facts = {
            "scale": scale_of(grid, to_ct),
            "native": {"shape": list(ct.shape), "spacing_mm": list(ct.spacing_mm)},
            "is_synthetic": mark.verdict != "unmarked",
            "notes": [*notes, *([] if mark.verdict == "unmarked" else [f"A model made it: {mark.sign}."])],
        }
        fit = {"lung_dice": round(alignment.lung_dice, 3), "lung_inside": round(alignment.lung_inside, 3)}
        return add_volume(session, volume, "real", name, identifier, **facts, fit=fit)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        path.unlink(missing_ok=True)


def open_masks(session: Session, grid: Grid, path: Path, name: str, of: str | None) -> list[JSON]:
    """Bring the masks of a file to the model's grid, and return their records with notes.

    Args:
        of: The real CT on which they were drawn; None for the model's own space.

    Raises:
        CaseError: If the file holds no mask, or none that reaches the grid.
        Refusal: If there is no such CT.
    """
    to_mask = None if of is None else alignment_of(session, of).template_to_native_lps_mm
    try:
        found = []
        for title, mask, notes in _read(path, name):
            moved, more = mask_to_grid(mask, grid, to_mask)
            record = add_mask(session, moved, grid, title, words_of(title))
            found.append({**record, "notes": [*notes, *more]})
        return found
    finally:
        path.unlink(missing_ok=True)


def _read(path: Path, name: str) -> Iterator[tuple[str, LabelMap, tuple[str, ...]]]:
    """Yield each mask of a file with its name and notes."""
    if path.suffix == ".dcm":
        yield from ((label, mask, ()) for label, mask in read_segments(path).items())
        return
    try:
        mask, notes = read_mask(path)
    except MaskError as error:
        if error.code != "mask-not-binary":
            raise
        yield from _read_each(path, name)
    else:
        yield name, mask, notes


def _read_each(path: Path, name: str) -> Iterator[tuple[str, LabelMap, tuple[str, ...]]]:
    labels = read_labels(path)
    if len(labels.names) > MAX_SEGMENTS:
        raise MaskError(
            f"expected a map of at most {MAX_SEGMENTS} labels, got {len(labels.names)}.",
            code="labels-many",
            remedy="give the mask of one structure.",
        )
    for known in labels.names.values():
        yield f"{name} {known}", LabelMap(labels.binary(known), labels.affine_mm), ()


def words_of(name: str) -> str:
    """Return the words of the structure that a file or a segment is called after; empty if it is called otherwise."""
    plain = name.lower().replace("_", " ").replace("-", " ")
    known = {spelling: words for key, words in STRUCTURE_WORDS.items() for spelling in (words, key.replace("_", " "))}
    return next((known[one] for one in sorted(known, key=len, reverse=True) if one in plain), "")
