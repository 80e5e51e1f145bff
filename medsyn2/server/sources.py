"""Real CTs of a session: kept as they came, with their registration, which is made once when they are opened.

The browser shows a CT in the model's space at the CT's own resolution; an edit starts from the file and gives a file of
the same grid and type.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medsyn2.ct.binary_mask import mask_to_grid
from medsyn2.ct.registration.affine import resample_to_grid
from medsyn2.ct.registration.alignment import Alignment
from medsyn2.ct.volume import Affine, CTVolume, Grid, LabelMap
from medsyn2.files import write_json
from medsyn2.integrity import read_sealed, write_sealed
from medsyn2.pipeline.edited import Source
from medsyn2.pipeline.source_file import read_source
from medsyn2.server.problems import Refusal
from medsyn2.server.session import Session, item_file

_PLACE, _ALIGNMENT = "place.json", "alignment.json"
_MAX_VOXELS = 448
"""Along an axis of a CT that is shown: two such volumes and their masks are what a browser has memory for."""


@dataclass(frozen=True, eq=False)
class RealCT:
    """A real CT with its file and its place in the model's grid."""

    ct: CTVolume  # In HU, on its own grid
    file: Source
    alignment: Alignment
    root: str  # Id of the CT that was opened; this one may be an edited copy of it

    def bring(self, mask: LabelMap) -> LabelMap:
        """Return a mask of the model's grid on the CT's own."""
        to_model = np.linalg.inv(self.alignment.template_to_native_lps_mm)
        moved, _ = mask_to_grid(mask, self.ct.grid, to_model, of="the CT")
        return LabelMap(moved, self.ct.affine_mm, mask.names)


def add_source(session: Session, identifier: str, path: Path, alignment: Alignment) -> None:
    """Keep the file of a CT, or its folder of slices, under the id of the volume that the browser shows."""

    def write(folder: Path) -> None:
        shutil.move(path, folder / path.name)
        write_json(folder / _PLACE, path.name)
        write_sealed(folder / _ALIGNMENT, alignment.to_json())

    session.add("sources", write, identifier=identifier)


def open_source(session: Session, identifier: str) -> RealCT:
    """Read a real CT of the session, or the result of an edit of one.

    Raises:
        Refusal: If there is none of this id.
    """
    if (session.root / "items" / identifier).is_dir():
        root = session.read("items", identifier)["real"]
        path = item_file(session, identifier)
    else:
        root = identifier
        folder = session.find("sources", root)
        path = folder / json.loads((folder / _PLACE).read_text(encoding="utf-8"))
    if root is None:
        raise Refusal(
            400,
            "expected a real CT, got a volume that the model made.",
            code="source-synthetic",
            remedy="edit it as a synthetic volume.",
        )
    ct, file, _ = read_source(path)
    return RealCT(ct, file, alignment_of(session, root), root)


def alignment_of(session: Session, identifier: str) -> Alignment:
    """Return the registration of a real CT that was opened.

    Raises:
        Refusal: If there is none of this id.
    """
    return Alignment.from_json(read_sealed(session.find("sources", identifier) / _ALIGNMENT))


def scale_of(model_grid: Grid, model_to_ct_lps_mm: Affine) -> list[float]:
    """Return the millimetres of a CT for each of the model's space, along (depth, height, width)."""
    return [round(float(scale), 4) for scale in _steps_mm(model_grid, model_to_ct_lps_mm) / model_grid.spacing_mm]


def show_ct(ct: CTVolume, model_grid: Grid, model_to_ct_lps_mm: Affine) -> CTVolume:
    """Return a CT over the extent of the model's grid, at its own resolution, interpolated once."""
    return resample_to_grid(ct, view_grid(ct.grid, model_grid, model_to_ct_lps_mm), model_to_ct_lps_mm)


def view_grid(ct_grid: Grid, model_grid: Grid, model_to_ct_lps_mm: Affine) -> Grid:
    """Return a grid over the extent of the model's, whose steps are voxels of a CT, up to 448 an axis.

    Where the CT is coarser than the model, the steps are the model's: a coarser grid would blur the CT once more.
    """
    own = np.round(np.array(model_grid.shape) * _steps_mm(model_grid, model_to_ct_lps_mm) / ct_grid.spacing_mm)
    depth, height, width = np.maximum(model_grid.shape, np.minimum(own, _MAX_VOXELS)).astype(int).tolist()
    share = np.array(model_grid.shape) / np.array([depth, height, width])
    to_model = np.diag([*share, 1.0])
    to_model[:3, 3] = (share - 1) / 2  # The outer borders of both grids are the same
    return Grid((depth, height, width), model_grid.affine_mm @ to_model)


def _steps_mm(model_grid: Grid, model_to_ct_lps_mm: Affine) -> np.ndarray:
    """Return the length in the CT of a step of the model's grid along each axis."""
    return np.asarray(np.linalg.norm(model_to_ct_lps_mm[:3, :3] @ model_grid.affine_mm[:3, :3], axis=0))
