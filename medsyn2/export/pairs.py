"""The volumes of a run or of a folder with their masks: cases for training a segmenter.

A case is of use only if every structure asked for is known in it. A real case knows those that a tool looked for. A
generated volume knows the one structure whose mask it was given; of others nobody said anything, and a label map
without them would teach that they are not there. Such volumes are left out, and counted.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, UInt8

from medsyn2.ct.volume import CTVolume, Grid, LabelMap
from medsyn2.errors import ConfigError, GeometryError, IntegrityError
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.facts import CT_FILE
from medsyn2.formats import read_ct
from medsyn2.pipeline.synthetic import read_mask_file
from medsyn2.pipeline.volume_output import hash_of
from medsyn2.store.read_artefact import read_made_labels
from medsyn2.vocabulary import LOBES, structure_of

Labels = UInt8[np.ndarray, "d h w"]


@dataclass(frozen=True)
class Pair:
    """A volume and its label map."""

    name: str  # Of the case, unique in its source
    kind: Literal["real", "synthetic"]
    # Reads what it depends on: its patient, the mask or the CT that it was made from
    find_keys: Callable[[], frozenset[str]] = field(repr=False)
    path: Path  # The volume: a file, or a folder of DICOM
    read_labels: Callable[[Grid], LabelMap] = field(repr=False)  # Reads its label map, for the volume's grid
    as_it_is: bool = True  # Whether the file has canonical axes, so that it can be copied
    sha256: str | None = None  # Of the volume, where a sidecar has it

    @cached_property
    def keys(self) -> frozenset[str]:
        """What it depends on; a mask is read for it, which takes long for many.

        Raises:
            IntegrityError: If the mask is not the one that its sidecar was written with.
        """
        return self.find_keys()

    def read(self) -> tuple[CTVolume, LabelMap]:
        """Read the volume and its labels.

        Raises:
            IntegrityError: If the volume or its mask is not the one that its sidecar was written with.
            GeometryError: If they are on different grids.
        """
        if self.sha256 is not None and (not self.path.exists() or hash_of(self.path) != self.sha256):
            raise IntegrityError(
                f"{self.path} is missing or is not the volume that its sidecar was written with.",
                code="volume-changed",
                remedy="make it again by `--from-sidecar`, or take the volume and its files out of the folder.",
            )
        volume = read_ct(self.path)
        labels = self.read_labels(volume.grid)
        if volume.shape != labels.shape or not np.allclose(volume.affine_mm, labels.affine_mm, atol=1e-3):
            raise GeometryError(
                f"{self.path}: expected a mask on the volume's grid {volume.grid}, got one on {labels.grid}.",
                code="grids-differ",
                remedy="the volume or its mask was replaced; make the volume again.",
            )
        return volume, labels


def pairs_of_run(run: Path, structures: Sequence[str], *, hash_masks: bool = False) -> Iterator[Pair]:
    """Yield the real cases of a finished run and the volumes that were generated from their masks.

    Args:
        structures: In their painting order.
        hash_masks: Whether cases are related to volumes of elsewhere that were made from the same masks.

    Raises:
        ConfigError: If the folder holds no run.
    """
    found = {stage: sorted((run / stage).glob("*.json")) for stage in ("register", "masks", "sample")}
    if not found["register"] or not found["masks"]:
        raise ConfigError(
            f"{run} holds no registered cases with masks.",
            code="run-without-masks",
            remedy="give the folder of results of a run that has made its masks.",
        )
    for case in load_cases(found["register"], masks=found["masks"], samples=found["sample"], split=None):
        yield from _pairs_of_case(case, structures, hash_masks=hash_masks)


def _pairs_of_case(case: Case, structures: Sequence[str], *, hash_masks: bool) -> Iterator[Pair]:
    states = case.masked.facts.states if case.masked is not None else {}
    keys = partial(_keys_of_case, case, structures, hash_masks=hash_masks)
    if all(states.get(name, "absent") != "absent" for name in structures):  # type: ignore[call-overload]
        yield Pair(f"real_{case.name}", "real", keys, case.registered.path(CT_FILE), partial(_paint, case, structures))
    for sample, volume in case.samples.items():
        if sample.structure is not None and [sample.structure] == list(structures):
            assert case.sampled is not None
            yield Pair(
                f"synthetic_{case.name}_{sample.condition}",
                "synthetic",
                keys,
                case.sampled.path(volume.path.name),
                partial(_paint, case, structures),
            )


def _keys_of_case(case: Case, structures: Sequence[str], *, hash_masks: bool) -> frozenset[str]:
    masks = [name for name in case.structures if name in structures] if hash_masks else []
    return frozenset([f"patient {case.subject}", *(_mask_key(case.mask(name).binary()) for name in masks)])


def _paint(case: Case, structures: Sequence[str], grid: Grid) -> LabelMap:
    """Return the label map of a case: the structures that it has, each over those before it."""
    labels: Labels = np.zeros(grid.shape, np.uint8)
    label = 0
    for name in structures:
        parts = LOBES if name == "lobes" else {1: name}
        if name in case.structures:
            file = case.region_path(name) if name == "lobes" else case.mask_path(name)
            found = read_made_labels(file).labels.astype(np.uint8)
            np.copyto(labels, found + np.uint8(label), where=found > 0)
        label += len(parts)
    return LabelMap(labels, grid.affine_mm)


def pairs_of_volumes(folder: Path, structures: Sequence[str]) -> Iterator[Pair]:
    """Yield the volumes of a folder, at any depth, that were generated or edited with a mask.

    Volumes of one mask are related, as are edits of one CT. A volume without a sidecar of ours is none of these.
    """
    for sidecar, values in list_sidecars(folder):
        if values["mask"] is None or [_name_of(values["mask_text"])] != list(structures):
            continue
        path = sidecar.parent / Path(values["volume"]["file"]).name
        described = values.get("output", {}).get("mask") or values["mask"]  # on the volume's grid
        keys = partial(_keys_of_volume, sidecar.parent, values)
        name = "_".join(sidecar.relative_to(folder).with_suffix("").parts)
        read = partial(_read_asked, sidecar.parent, described)
        as_it_is, sha256 = "edit" not in values, values["volume"]["sha256"]
        yield Pair(f"synthetic_{name}", "synthetic", keys, path, read, as_it_is=as_it_is, sha256=sha256)


def list_sidecars(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the sidecars of ours in a folder, at any depth, with their values."""
    found = ((path, _read_sidecar(path)) for path in sorted(folder.rglob("*.json")))
    return [(path, values) for path, values in found if values is not None]


def _read_sidecar(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(values, dict) and values.get("synthetic") is True
    return values if is_ours and {"volume", "mask", "mask_text", "model"} <= values.keys() else None


def _keys_of_volume(folder: Path, values: Mapping[str, Any]) -> frozenset[str]:
    if "edit" in values:
        return frozenset({f"CT {values['edit']['source_sha256']}"})
    return frozenset({_mask_key(read_mask_file(folder, values["mask"]).binary())})


def _read_asked(folder: Path, described: dict[str, str], grid: Grid) -> LabelMap:
    return LabelMap(read_mask_file(folder, described).binary().astype(np.uint8), grid.affine_mm)


def _name_of(words: str) -> str:
    """Return the structure that words mean, or the words."""
    return structure_of(words) or words


def _mask_key(mask: Bool[np.ndarray, "d h w"]) -> str:
    return f"mask {hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest()}"
