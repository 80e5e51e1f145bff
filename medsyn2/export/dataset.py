"""Data sets for training segmenters, in the layouts of nnU-Net (version 2) and of MONAI's decathlon lists.

    imagesTr/<case>_0000.nii.gz   the volume (MONAI: <case>.nii.gz)
    labelsTr/<case>.nii.gz        labels on its grid; `label_tables` has the order for structures that overlap
    dataset.json                  written last, so that a folder with one is complete
    splits_final.json             nnU-Net: the folds; MONAI has the fold of each case in its list
    cases.csv                     kind, group and fold of each case
    labels.ctbl, labels.label     names and colours for 3D Slicer and ITK-SNAP

Cases that depend on each other are in one fold (`folds`). The name ``CT`` of the channel makes nnU-Net normalise by
the HU of the foreground.

Source: nnU-Net, documentation/dataset_format.md and manual_data_splits.md; MONAI, monai.data.decathlon_datalist.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from tqdm import tqdm

from medsyn2.ct.volume import LabelMap
from medsyn2.errors import ConfigError
from medsyn2.export.folds import assign_folds, group_related
from medsyn2.export.journal import Shard, begin, check_place, finish, part_of, state_of_file
from medsyn2.export.label_tables import itksnap_table, slicer_table
from medsyn2.export.pairs import Pair
from medsyn2.files import write_atomically, write_json, write_table, write_text_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.formats import open_volume, write_ct, write_labels
from medsyn2.version import __version__

Layout = Literal["nnunet", "monai"]
SUFFIX = ".nii.gz"
NUM_FOLDS = 5
"""nnU-Net's own number."""
_NNUNET_NAME = re.compile(r"Dataset\d{3}_[\w-]+")
_SYNTHETIC_LABELS = f"SYNTHETIC medsyn2 {__version__} labels"


@dataclass(frozen=True)
class Member:
    """A case of a data set."""

    id: str  # Its name in the data set
    pair: Pair
    group: str  # What it shares with the cases that depend on it
    fold: int


def check_dataset(folder: Path, layout: Layout) -> None:
    """Refuse a place where no data set can be written.

    Raises:
        ConfigError: If it holds files of anything else, or its name is none of nnU-Net's.
    """
    if layout == "nnunet" and not _NNUNET_NAME.fullmatch(folder.name):
        raise ConfigError(
            f"expected a folder called like Dataset501_Nodules for nnU-Net, got {folder.name!r}.",
            code="export-name",
            remedy="name it Dataset, three digits, _ and a name, in the folder that nnUNet_raw names.",
        )
    check_place(folder)


def list_members(pairs: Sequence[Pair]) -> list[Member]:
    """Name the cases and put them into folds.

    Raises:
        ConfigError: If they are no two groups of cases.
    """
    groups = group_related([pair.keys for pair in pairs])
    num_folds = min(NUM_FOLDS, len(set(groups)))
    if num_folds < 2:
        raise ConfigError(
            f"expected cases of two patients, masks or CTs or more, got {len(pairs)} of {num_folds}.",
            code="export-too-few",
            remedy="nothing could be held out to score a segmenter; give more cases, or other structures.",
        )
    folds = assign_folds(groups, num_folds)
    numbers = {group: f"group_{number:05d}" for number, group in enumerate(sorted(set(groups)))}
    ids = _ids(pairs)
    return [Member(*row) for row in zip(ids, pairs, (numbers[group] for group in groups), folds, strict=True)]


def write_dataset(
    folder: Path, members: Sequence[Member], names: Mapping[int, str], layout: Layout, *, link: bool = False
) -> None:
    """Write the cases that are not there, then the tables that describe all.

    Args:
        names: Of the labels.
        link: Link to volumes instead of copying them, where their files can be taken as they are.

    Raises:
        ConfigError: If the folder holds anything but this export, unfinished.
    """
    write_cases(folder, [one.pair for one in members], names, layout, link=link)
    _describe(folder, members, names, layout)
    finish(folder)


def write_cases(
    folder: Path,
    pairs: Sequence[Pair],
    names: Mapping[int, str],
    layout: Layout,
    *,
    link: bool = False,
    shard: Shard | None = None,
) -> int:
    """Write those cases of a part that are not there, without the tables, and return how many the part has.

    The folds are no part of it: to find them, the masks of all cases are read.

    Args:
        pairs: All cases.
        shard: The part; None for all cases.

    Raises:
        ConfigError: If the folder holds anything but this export, unfinished.
    """
    cases = list(zip(_ids(pairs), pairs, strict=True))
    begin(folder, _request(cases, names, layout, link=link))
    part = part_of(cases, shard)
    for identifier, pair in tqdm(part, desc="cases", unit="case", disable=None):
        if not _labels_path(folder, identifier).is_file():
            _write_case(folder, identifier, pair, layout, link=link)
    return len(part)


def _request(cases: Sequence[tuple[str, Pair]], names: Mapping[int, str], layout: Layout, *, link: bool) -> str:
    sources = [(identifier, str(pair.path.absolute()), *state_of_file(pair.path)) for identifier, pair in cases]
    return fingerprint(layout, {str(label): name for label, name in names.items()}, link, sources)


def _describe(folder: Path, members: Sequence[Member], names: Mapping[int, str], layout: Layout) -> None:
    """Write the tables."""
    write_text_atomically(folder / "labels.ctbl", slicer_table(names))
    write_text_atomically(folder / "labels.label", itksnap_table(names))
    rows = [(one.id, one.pair.kind, one.group, one.fold) for one in members]
    write_table(folder / "cases.csv", pd.DataFrame(rows, columns=["Case", "Kind", "Group", "Fold"]))
    if layout == "nnunet":
        write_json(folder / "splits_final.json", splits(members))
    describe = _describe_nnunet if layout == "nnunet" else _describe_monai
    write_json(folder / "dataset.json", _about(folder, members) | describe(members, names))


def splits(members: Sequence[Member]) -> list[dict[str, list[str]]]:
    """Return the cases that are trained on and those that are scored, fold by fold."""
    return [
        {
            "train": sorted(one.id for one in members if one.fold != fold),
            "val": sorted(one.id for one in members if one.fold == fold),
        }
        for fold in range(max(one.fold for one in members) + 1)
    ]


def _ids(pairs: Sequence[Pair]) -> list[str]:
    """Return names of letters, digits, - and _, each once on any file system."""
    taken: set[str] = set()
    ids = []
    for pair in pairs:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", pair.name)
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.lower())
        ids.append(name)
    return ids


def _write_case(folder: Path, identifier: str, pair: Pair, layout: Layout, *, link: bool) -> None:
    volume, labels = pair.read()
    image = folder / "imagesTr" / f"{identifier}{'_0000' if layout == 'nnunet' else ''}{SUFFIX}"
    image.parent.mkdir(parents=True, exist_ok=True)
    if not (pair.as_it_is and pair.path.name.lower().endswith(SUFFIX)):
        mark = open_volume(pair.path).description
        write_atomically(image, lambda path: write_ct(path, volume, description=mark))
    elif link:
        image.unlink(missing_ok=True)
        image.symlink_to(os.path.relpath(pair.path.resolve(), image.parent.resolve()))
    else:
        write_atomically(image, partial(shutil.copyfile, pair.path))
    place = _labels_path(folder, identifier)  # the last file of a case
    description = _SYNTHETIC_LABELS if pair.kind == "synthetic" else ""
    aligned = LabelMap(labels.labels, volume.affine_mm)
    write_atomically(place, lambda path: write_labels(path, aligned, description=description))


def _labels_path(folder: Path, identifier: str) -> Path:
    return folder / "labelsTr" / f"{identifier}{SUFFIX}"


def _about(folder: Path, members: Sequence[Member]) -> dict[str, Any]:
    synthetic = sum(one.pair.kind == "synthetic" for one in members)
    return {
        "name": folder.name,
        "description": f"{len(members) - synthetic} real and {synthetic} synthetic chest CTs; cases.csv tells which. "
        "Synthetic CTs were made by a model; not for clinical use.",
        "reference": f"medsyn2 {__version__}",
        "licence": "the terms of the real CTs, and of the CTs that the model was trained with",
        "numTraining": len(members),
    }


def _describe_nnunet(members: Sequence[Member], names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{name: label for label, name in names.items()}},
        "file_ending": SUFFIX,
    }


def _describe_monai(members: Sequence[Member], names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", **{str(label): name for label, name in names.items()}},
        "numTest": 0,
        "training": [
            {
                "image": f"./imagesTr/{one.id}{SUFFIX}",
                "label": f"./labelsTr/{one.id}{SUFFIX}",
                "fold": one.fold,
                "kind": one.pair.kind,
            }
            for one in members
        ],
        "test": [],
    }
