"""A real CT that was changed inside a region, its recipe, and how both lie on disk.

    <name>.nii.gz         the CT on its own grid, with the voxels of the region changed
    <name>.json           the sidecar: that it is synthetic, and the recipe
    <name>_region.nii.gz  where it may differ from the real CT
    <name>_mask.nii.gz    the structure that was asked for, on the CT's grid, if there was a mask

The recipe names the real CT by a hash of its voxels and their place, never by a name or a path: the name of a file is
often that of a patient. It holds the registration too, so that the same CT gives the same voxels again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Num

from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.nifti.storage import Storage
from medsyn2.ct.volume import Affine, CTVolume, LabelMap
from medsyn2.errors import IntegrityError, reason
from medsyn2.facts import HuScale
from medsyn2.files import sha256_of, write_atomically, write_json
from medsyn2.formats.writing import is_nifti_name, write_ct
from medsyn2.pipeline.outputs import check_file_name, mask_path, region_path, remove_earlier_masks, sidecar_path
from medsyn2.pipeline.synthetic import Recipe, describe_request, read_mask_file, read_recipe, recipe_json
from medsyn2.pipeline.volume_output import save_volume
from medsyn2.version import __version__
from medsyn2.vocabulary import EDITED_REGION

NOTICE = "Synthetic image: a CT that a model changed inside a region. Not for diagnosis, not for clinical use."

Mask = Bool[np.ndarray, "d h w"]


@dataclass(frozen=True, eq=False)
class EditOrder:
    """Everything that, with the model and the real CT, decides an edited CT.

    Masks are on the CT's grid; the recipe holds the mask on the model's grid beside its other conditions.
    """

    recipe: Recipe  # The conditions, the seed and the strength
    source: str  # `hash_ct` of the real CT
    model_to_ct_lps_mm: Affine  # The registration: world of the model's grid to world of the CT
    region: Mask  # Where the CT may change
    mask: Mask | None  # The structure that is asked for
    blend_mm: float  # Width of the blend inside the region's border
    resamplings: int  # Solutions of each step


@dataclass(frozen=True, eq=False)
class Source:
    """The file that a real CT was read from, whose own values the copy keeps."""

    values: CTVolume  # The file's values, as the CT lies in them
    scale: HuScale  # Conversion of these values to HU
    storage: Storage | None = None  # How a NIfTI file stores them; None of other formats, whose copy is canonical
    first_slice: int = 0  # Canonical slice of the file that is the first of the CT

    def write(self, path: Path, hu: Num[np.ndarray, "d h w"], changed: Mask, description: str) -> None:
        """Write the file with some of its HU replaced."""
        if self.storage is not None:
            self.storage.write_changed(
                path, hu, changed, self.scale, first_slice=self.first_slice, description=description
            )
            return
        values = self.values.hu.copy()
        new = (hu[changed].astype(np.float64) - self.scale.intercept) / self.scale.slope
        values[changed] = new if values.dtype.kind == "f" else np.rint(new)
        write_ct(path, CTVolume(values, self.values.affine_mm), description=description)


@dataclass(frozen=True, eq=False, repr=False)
class EditedCT:
    """A real CT that was changed inside a region.

    Attributes:
        volume: The CT on its own grid.
        before: The real CT.
        order: The request that it was made from.
        model: Fingerprint of the model.
        made: The whole volume that the region's voxels come from, on the model's grid.
    """

    volume: CTVolume
    before: CTVolume
    order: EditOrder
    model: str
    made: CTVolume

    def __repr__(self) -> str:
        return f"EditedCT({describe_request(self.order.recipe)}, {self.volume!r})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Show the CT in a notebook, with the outlines of the region and of the mask."""
        from medsyn2.ct.notebook import show_volume

        mask, words = self.order.mask, self.order.recipe.words
        masks = {EDITED_REGION: self.order.region, **({} if mask is None else {words or "mask": mask})}
        return show_volume(self.volume.hu, self.volume.spacing_mm, masks, repr(self), is_synthetic=True)

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]

    def save(self, path: Path | str, source: Source | None = None) -> None:
        """Write the CT, its sidecar and its masks; the same CT and recipe give the same bytes.

        Args:
            path: The volume's file, as of `Synthetic.save`. The others get their names from it.
            source: The file that the CT was read from: the output has its axes, type and scaling, and outside the
                region its very numbers. None writes canonical axes.

        Raises:
            ConfigError: If `path` ends otherwise.
        """
        path = Path(path)
        check_file_name(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_earlier_masks(path)
        mark = f"SYNTHETIC medsyn2 {__version__} edited seed={self.order.recipe.seed}"

        def save_mask(mask: Mask, place: Path) -> dict[str, str]:
            write_atomically(place, lambda partial: self._write_mask(partial, mask, source, mark))
            return {"file": place.name, "sha256": sha256_of(place)}

        order = self.order
        edit = {
            "source_sha256": order.source,
            "model_to_ct_lps_mm": order.model_to_ct_lps_mm.tolist(),
            "region": save_mask(order.region, region_path(path)),
            "blend_mm": order.blend_mm,
            "resamplings": order.resamplings,
        }
        conditions = recipe_json(order.recipe, lambda mask, depth: save_mask(self._mask, mask_path(path, depth)))
        described = {"synthetic": True, "notice": NOTICE, "medsyn2": __version__, "model": self.model, **conditions}
        words = order.recipe.words
        masks = {} if order.mask is None or words is None else {words: order.mask}
        volume = save_volume(
            path,
            self.volume,
            mark,
            model=self.model,
            recipe=conditions,
            masks={**masks, EDITED_REGION: order.region},
            write=lambda partial: self._write_ct(partial, source, mark),
        )
        write_json(sidecar_path(path), {**described, "edit": edit, "volume": volume})

    @property
    def _mask(self) -> Mask:
        assert self.order.mask is not None
        return self.order.mask

    def _write_ct(self, path: Path, source: Source | None, mark: str) -> None:
        if source is None or not is_nifti_name(path.name):
            write_ct(path, self.volume, description=mark)
        else:
            source.write(path, self.volume.hu, self.volume.hu != self.before.hu, mark)

    def _write_mask(self, path: Path, mask: Mask, source: Source | None, mark: str) -> None:
        if source is None or source.storage is None:
            write_labels(path, LabelMap(mask, self.volume.affine_mm), description=mark)
        else:
            source.storage.write_mask(path, mask, first_slice=source.first_slice, description=mark)


def hash_ct(ct: CTVolume) -> str:
    """Return the sha256 of a CT's voxels and of their place to 0.1 micrometres, however its file stores them."""
    found = hashlib.sha256(
        repr((ct.shape, ct.hu.dtype.name, (ct.affine_mm * 1e4).round().astype(int).tolist())).encode()
    )
    found.update(np.ascontiguousarray(ct.hu).data)
    return found.hexdigest()


def read_order(path: Path, ct: CTVolume) -> tuple[EditOrder, str]:
    """Read the order that a sidecar describes, with its masks, for the CT that was edited.

    Args:
        ct: The real CT; masks are brought to its slices.

    Returns:
        The order, without the mask on the model's grid, and the fingerprint of the model it is for.

    Raises:
        IntegrityError: If the file is no such sidecar, a mask beside it is not the one that was written, or the CT is
            another.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        edit, model = values["edit"], str(values["model"])
        source, to_ct = str(edit["source_sha256"]), np.array(edit["model_to_ct_lps_mm"], dtype=np.float64)
        recipe = read_recipe({**values, "mask": None}, path.parent)
        region = _read_mask(path.parent, edit["region"], ct)
        mask = None if values["mask"] is None else _read_mask(path.parent, values["mask"], ct)
        blend_mm, resamplings = float(edit["blend_mm"]), int(edit["resamplings"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IntegrityError(
            f"{path} is not the sidecar of an edited CT: {reason(error)}.",
            code="sidecar-unreadable",
            remedy="give the .json that `medsyn2 edit` wrote beside the volume.",
        ) from error
    found = hash_ct(ct)
    if found != source:
        raise IntegrityError(
            f"{path} was made from another CT: expected the hash {source[:12]}, got {found[:12]}.",
            code="source-another",
            remedy="give the CT that was edited, unchanged; its hash covers the voxels and their place.",
        )
    return EditOrder(recipe, source, to_ct, region, mask, blend_mm, resamplings), model


def _read_mask(folder: Path, described: Mapping[str, str], ct: CTVolume) -> Mask:
    """Read a mask that was written on the grid of the CT's file, and return the slices of the CT."""
    written = read_mask_file(folder, described)
    first = round((np.linalg.inv(written.affine_mm) @ ct.affine_mm[:, 3])[0])
    part = written.binary()[first : first + len(ct.hu)]
    if part.shape != ct.shape:
        raise ValueError(f"a mask of {part.shape} voxels for a CT of {ct.shape}")
    return part
