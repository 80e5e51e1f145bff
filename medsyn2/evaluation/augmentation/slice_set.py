"""The public set of 100 labelled axial slices, as published, and the list that splits it.

MedSeg's "COVID-19 CT segmentation dataset" (medicalsegmentation.com; figshare 13521488, version 2) is two files:

    tr_im.nii.gz     512 x 512 x 100, axial slices of more than 40 patients, brought to HU by its authors
    tr_mask.nii.gz   the same shape: 0, 1 ground glass, 2 consolidation, 3 pleural effusion

The slices were pictures in publications, stacked: the third axis is no direction in space, and the header's world says
nothing about a patient. So the axes are taken as they lie, columns, rows, slices, which shows every slice upright with
the patient's right on the left; the pixel size is the header's unless given.

A JSON file lists the slices to train on and to test on: ``{"train": [0, 1, ...], "test": [50, ...]}``, counted from 0.
A third key ``patients`` may name the patient of every slice; without it each slice counts as a patient of its own, and
intervals are too narrow. The slices are not ours: they are read in place and copied nowhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from medsyn2.config.evaluation import IMAGES, MASKS
from medsyn2.ct.nifti.files import open_nifti
from medsyn2.ct.nifti.stream import MAX_MASK_RATIO
from medsyn2.errors import ConfigError, TableError
from medsyn2.evaluation.augmentation.slices import LabelledSlice
from medsyn2.vocabulary import Structure

LABELS: dict[Structure, int] = {"ground_glass": 1, "consolidation": 2, "pleural_effusion": 3}
"""Labels of the masks."""

_AIR_HU, _DENSE_HU = -500.0, -200.0
_SOURCE = "get both files again from figshare 13521488, version 2."


@dataclass(frozen=True)
class SliceSplit:
    """Slices to train on and to test on, and the patient of each slice if known."""

    train: tuple[int, ...]
    test: tuple[int, ...]
    patients: tuple[str, ...] | None


def read_slice_set(
    folder: Path, split: Path, structure: Structure, *, pixel_mm: float | None
) -> tuple[list[LabelledSlice], list[LabelledSlice]]:
    """Read the set and return the slices to train on and those to test.

    Args:
        folder: Folder of ``tr_im.nii.gz`` and ``tr_mask.nii.gz``.
        split: The JSON file.
        structure: Label of the mask.
        pixel_mm: Size of a pixel; None takes the header's.

    Raises:
        ConfigError: If the set has no label for the structure, or a file is not there.
        InvalidVolumeError: If a file is damaged.
        TableError: If the files are not the published pair, or the split is not one of these slices.
    """
    if structure not in LABELS:
        raise ConfigError(
            f"the slices have labels for {', '.join(LABELS)}, but evaluate_augmentation.structure is {structure}.",
            code="slices-structure",
            remedy="choose one of these, or leave evaluate_augmentation.public empty.",
        )
    for path in (folder / IMAGES, folder / MASKS, split):
        if not path.is_file():
            raise ConfigError(
                f"{path} does not exist.",
                code="slices-missing",
                remedy=f"put {IMAGES} and {MASKS} into one folder ({_SOURCE[:-1]}) and write the split as JSON.",
            )
    images = open_nifti(folder / IMAGES)
    masks = open_nifti(folder / MASKS, max_ratio=MAX_MASK_RATIO)
    _check(images.values, masks.values, folder)
    chosen = read_split(split, images.values.shape[2])
    width_mm, height_mm = (float(size) for size in images.header.raw.get_zooms()[:2])
    spacing = (height_mm, width_mm) if pixel_mm is None else (pixel_mm, pixel_mm)

    def one(index: int) -> LabelledSlice:
        name = f"slice_{index:03d}"
        patient = name if chosen.patients is None else chosen.patients[index]
        hu, labels = (np.ascontiguousarray(values[:, :, index].T) for values in (images.values, masks.values))
        return LabelledSlice(name, patient, hu, labels == LABELS[structure], spacing)

    return [one(index) for index in chosen.train], [one(index) for index in chosen.test]


def read_split(path: Path, num_slices: int) -> SliceSplit:
    """Read the slices to train on and to test on.

    Raises:
        TableError: If it is no JSON of this form, an index is out of range or repeated, a side is empty, or a patient
            is on both sides.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_split(path, f"it cannot be read: {error}") from error
    if not isinstance(values, Mapping) or not {"train", "test"} <= set(values) <= {"train", "test", "patients"}:
        found = sorted(values) if isinstance(values, Mapping) else type(values).__name__
        raise _no_split(path, f"it holds {found}")
    sides = {side: _numbers(path, side, values[side], num_slices) for side in ("train", "test")}
    if both := sorted(set(sides["train"]) & set(sides["test"])):
        raise _no_split(path, f"slices {both[:5]} are trained on and tested")
    patients = values.get("patients")
    if patients is not None:
        _check_patients(path, patients, sides, num_slices)
    return SliceSplit(sides["train"], sides["test"], None if patients is None else tuple(str(one) for one in patients))


def _numbers(path: Path, side: str, values: Any, num_slices: int) -> tuple[int, ...]:
    if not isinstance(values, list) or not values:
        raise _no_split(path, f"{side} is {values!r}")
    wrong = [one for one in values if type(one) is not int or not 0 <= one < num_slices]
    if wrong:
        raise _no_split(path, f"{side} has {wrong[:5]}, which are no slices of 0 to {num_slices - 1}")
    if len(set(values)) < len(values):
        raise _no_split(path, f"{side} names a slice twice")
    return tuple(values)


def _check_patients(path: Path, patients: Any, sides: Mapping[str, tuple[int, ...]], num_slices: int) -> None:
    if not isinstance(patients, list) or len(patients) != num_slices:
        count = len(patients) if isinstance(patients, list) else type(patients).__name__
        raise _no_split(path, f"patients has {count} names for {num_slices} slices")
    train, test = ({str(patients[index]) for index in sides[side]} for side in ("train", "test"))
    if both := sorted(train & test):
        raise _no_split(path, f"the patients {both[:5]} are trained on and tested")


def _no_split(path: Path, found: str) -> TableError:
    return TableError(
        f'{path}: expected {{"train": [0, ...], "test": [50, ...]}} with different numbers of slices, but {found}.',
        code="slices-split",
        remedy="write the numbers of the slices, counted from 0; patients is a list of one name a slice, or left out.",
    )


def _check(images: Num[np.ndarray, "i j k"], masks: Num[np.ndarray, "a b c"], folder: Path) -> None:
    """Refuse other labels, different shapes, and pixels that are not HU."""
    if images.shape != masks.shape:
        raise TableError(
            f"{folder}: {IMAGES} has {images.shape} and {MASKS} {masks.shape} voxels, expected the same.",
            code="slices-differ",
            remedy=_SOURCE,
        )
    found = {float(one) for one in np.unique(masks)}
    if not found <= {0.0, *map(float, LABELS.values())}:
        raise TableError(
            f"{folder / MASKS}: expected the labels 0 to 3, got {sorted(found)[:10]}.",
            code="slices-labels",
            remedy=_SOURCE,
        )
    low, high = float(images.min()), float(images.max())
    if low > _AIR_HU or high < _DENSE_HU:
        raise TableError(
            f"{folder / IMAGES}: expected HU, with air and tissue, got values from {low:g} to {high:g}.",
            code="slices-not-hu",
            remedy="the set is also passed on as 8-bit pictures, which have lost their HU; " + _SOURCE,
        )
