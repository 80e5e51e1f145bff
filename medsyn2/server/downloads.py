"""The files of a result as a person takes them home, each marked as synthetic.

NIfTI is the file that was written when the result was made, with the sidecar that knows its hash. The other formats are
written when they are asked for, with the same mark in the header. Pictures carry SYNTHETIC in their pixels, on each
plane that a model made. The archive of all has the sidecar, the masks, the pictures, the check and the command.
"""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave

from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.ct.planes import plot_planes
from medsyn2.ct.volume import CTVolume, Grid
from medsyn2.evaluation.control.check import Made, draw_check, write_mark
from medsyn2.formats import open_volume, write_labels
from medsyn2.pipeline.outputs import mask_path, region_path, sidecar_path
from medsyn2.pipeline.volume_output import save_volume
from medsyn2.server.checking import load_made
from medsyn2.server.orders import ItemFormat, MaskFormat
from medsyn2.server.problems import JSON
from medsyn2.server.session import Session, item_file, stem_of
from medsyn2.server.voxels import read_mask
from medsyn2.vocabulary import EDITED_REGION, WINDOWS_HU

MASK_MARK = "SYNTHETIC medsyn2 mask"
_READ_ME = """{name}

SYNTHETIC: a model made this. It is not of a patient, or a model changed it, and it is not for diagnosis or any other
clinical use. What a model makes can look right and be wrong: sizes, sides and findings need not be those that were
asked for.

Make the volume again in this folder:

    {command}
"""
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def write_item(session: Session, identifier: str, kind: ItemFormat) -> Path:
    """Write a result in a format into a folder of its own below ``work``, and return the file."""
    item = session.read("items", identifier)
    folder = session.work("")
    folder.mkdir()
    stem = stem_of(identifier)
    names = {"mha": f"{stem}.mha", "dicom.zip": f"{stem}_dicom.zip", "zip": f"{stem}.zip"}
    target = folder / names.get(kind, f"{stem}_{kind}" if kind == "pair.png" else f"{stem}.{kind}")
    writers: dict[str, Callable[[], object]] = {
        "mha": lambda: _convert(session, identifier, item, target),
        "dicom.zip": lambda: _convert(session, identifier, item, target),
        "png": lambda: target.write_bytes(draw_item(session, identifier)),
        "pair.png": lambda: target.write_bytes(draw_pair(session, identifier)),
        "zip": lambda: _write_all(session, identifier, item, target),
    }
    writers[kind]()
    return target


def write_mask(session: Session, identifier: str, grid: Grid, kind: MaskFormat) -> Path:
    """Write a mask in a format into a folder of its own below ``work``, and return the file."""
    folder = session.work("")
    folder.mkdir()
    path = folder / f"mask_{identifier[:8]}.{kind}"
    write_labels(path, read_mask(session, identifier, grid), description=MASK_MARK)
    return path


def draw_item(session: Session, identifier: str) -> bytes:
    """Draw three planes of a result with its masks, as PNG."""
    made, _ = load_made(session, identifier)
    return draw_check(made, None, f"SYNTHETIC  {stem_of(identifier)}")


def draw_pair(session: Session, identifier: str) -> bytes:
    """Draw three planes before and after, one row each and cut at the same places, as PNG.

    A new volume has nothing before it: the upper row is the volume without the outlines.
    """
    made, _ = load_made(session, identifier)
    before, is_real = _before(session, identifier, made)
    contours = {"asked for": made.mask} if made.mask is not None else {}
    if made.region is not None:
        contours["region"] = made.region
    upper = _row(before, contours, "before: real CT" if is_real else "before: SYNTHETIC", has_mark=not is_real)
    lower = _row(made.volume, contours, f"after: SYNTHETIC  {stem_of(identifier)}", has_mark=True)
    buffer = io.BytesIO()
    imsave(buffer, np.vstack((upper, lower)), format="png", metadata={"Software": "", "Title": "SYNTHETIC"})
    return buffer.getvalue()


def _before(session: Session, identifier: str, made: Made) -> tuple[CTVolume, bool]:
    if made.before is not None:
        source = session.read("items", identifier)["source"]
        is_made = (session.root / "items" / source).is_dir() or session.read("volumes", source).get("is_synthetic")
        return made.before, not is_made
    source = session.read("items", identifier)["source"]
    if source is not None and (session.root / "items" / source).is_dir():
        return read_ct(item_file(session, source)), False
    return made.volume, False


def _row(volume: CTVolume, contours: dict[str, np.ndarray], title: str, *, has_mark: bool) -> np.ndarray:
    figure: Figure = plot_planes(volume.hu, volume.spacing_mm, contours, title, WINDOWS_HU["lung"])
    if has_mark:
        write_mark(figure)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]  # of the Agg canvas


def _convert(session: Session, identifier: str, item: JSON, target: Path) -> None:
    path = item_file(session, identifier)
    recipe = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
    masks = {item["words"]: mask_path(path, 0), EDITED_REGION: region_path(path)}
    save_volume(
        target,
        read_ct(path),
        open_volume(path).description,
        model=recipe["model"],
        recipe=recipe,
        masks={words: read_labels(place).binary() for words, place in masks.items() if words and place.is_file()},
    )


def _write_all(session: Session, identifier: str, item: JSON, target: Path) -> None:
    path, stem = item_file(session, identifier), stem_of(identifier)
    files = [one for one in sorted(path.parent.iterdir()) if one.name.startswith(stem)]
    texts = {"README.txt": _READ_ME.format(name=item["name"], command=item["command"]).encode()}
    if item["check"] is not None:
        texts[f"{stem}_check.json"] = json.dumps(item["check"], indent=1).encode()
    texts[f"{stem}.png"] = draw_item(session, identifier)
    texts[f"{stem}_pair.png"] = draw_pair(session, identifier)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # the volume is compressed already
        for file in files:
            with file.open("rb") as source, archive.open(zipfile.ZipInfo(file.name, _ZIP_TIME), "w") as member:
                shutil.copyfileobj(source, member)
        for name, content in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content)
