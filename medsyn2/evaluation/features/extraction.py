"""Extraction of features from files of volumes, one volume at a time and never twice.

The features of each volume and window have a file of their own, named by a hash of the volume's bytes, the protocol,
the extractor, the window and the stated spacing: a stopped extraction resumes, processes and metrics can share the
folder, and a changed volume or setting is extracted anew. The estimated time is logged first. Features of a large
cohort exceed the memory of a job, so they stay on disk and a bank is read for the windows in use.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from tqdm import tqdm

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import CTVolume, Spacing
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.features.extractors import FeatureExtractor, RandomBank, estimate_cost, volume_features
from medsyn2.evaluation.features.protocols import PLANES, Protocol, make_protocol
from medsyn2.evaluation.features.radimagenet import load_radimagenet
from medsyn2.files import sha256_of, write_atomically

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureSpec:
    """How features are made from a volume."""

    protocol: Protocol  # Preparation of the volume
    extractor: FeatureExtractor  # Turns its slices into features
    windows: tuple[str, ...]  # Windows of the protocol that are used


def make_spec(grid: GridConfig, config: EvaluateFidConfig, windows: tuple[str, ...]) -> FeatureSpec:
    """Return the configured protocol and extractor for some windows."""
    return FeatureSpec(protocol_of(grid, config), extractor_of(config), windows)


def protocol_of(grid: GridConfig, config: EvaluateFidConfig) -> Protocol:
    """Return the configured protocol."""
    return make_protocol(config.protocol, clip_hu=grid.clip_hu, num_slices=config.slices_per_volume)


def extractor_of(config: EvaluateFidConfig) -> FeatureExtractor:
    """Return the extractor: RadImageNet's if its weights are given, else the weight-free one."""
    if config.radimagenet is None:
        return RandomBank(config.seed)
    return load_radimagenet(config.radimagenet, device=config.device)


_DECIMALS = 3


@dataclass(frozen=True)
class VolumeFile:
    """One volume of a set."""

    id: str  # Its name within the set
    patient: str  # Its patient, or the one whose report or mask it was generated from
    path: Path  # The NIfTI file, in HU
    # Spacing (depth, height, width) that replaces a wrong one of the header
    spacing_mm: Spacing | None = None

    def read(self) -> CTVolume:
        """Read the volume, with the stated spacing if there is one."""
        volume = read_ct(self.path)
        if self.spacing_mm is None:
            return volume
        affine = volume.affine_mm.copy()
        affine[:3, :3] *= np.array(self.spacing_mm) / volume.spacing_mm
        return CTVolume(volume.hu, affine)


@dataclass(frozen=True)
class FeatureFiles:
    """Features of a set of volumes, on the disk."""

    volumes: tuple[VolumeFile, ...]  # The set
    spec: FeatureSpec  # Protocol, extractor and windows
    facts: Mapping[str, str]  # ``kind`` and ``source`` of its banks
    files: Mapping[str, Mapping[str, Path]]  # File of each volume's features, by id and window

    def bank(self, windows: Iterable[str]) -> Bank:
        """Read the features of some windows.

        Raises:
            EnvironmentFault: If a file is damaged, or the protocol keeps the grid and the spacings differ.
        """
        names = [volume.id for volume in self.volumes]
        parts: dict[str, Part] = {}
        spacings: dict[str, Spacing] = {}
        for window in windows:
            places = [self.files[name][window] for name in names]
            spacings |= {
                name: _round_spacing(_read_array(place, "spacing_mm"))
                for name, place in zip(names, places, strict=True)
            }
            for plane in PLANES:
                held = [_read_array(place, f"{window}/{plane}") for place in places]
                volume = np.repeat(np.arange(len(held), dtype=np.int32), [len(one) for one in held])
                parts[f"{window}/{plane}"] = Part(np.concatenate(held), volume)
        protocol, extractor = self.spec.protocol, self.spec.extractor
        return Bank(
            BankFacts(
                **{"kind": "real", **self.facts},  # type: ignore[arg-type]
                extractor=extractor.name,
                extractor_sha256=extractor.sha256,
                comparable=extractor.comparable,
                protocol=protocol.facts(),
                protocol_sha256=protocol.sha256,
                clip_hu=protocol.clip_hu,
                spacing_mm=_common_spacing(spacings, protocol, self.facts["source"]),
            ),
            tuple(names),
            tuple(volume.patient for volume in self.volumes),
            parts,
        )


def extract_features(
    volumes: Sequence[VolumeFile], spec: FeatureSpec, facts: Mapping[str, str], cache: Path
) -> FeatureFiles:
    """Extract the features that are missing from the cache.

    Args:
        volumes: The set; if the protocol has a greatest number, the first by id are taken.
        facts: ``kind`` and ``source`` of the set.
        cache: Folder of single volumes' features, common to all sets, specs and metrics.

    Raises:
        CaseError: If a file cannot be read.
    """
    chosen = sorted(volumes, key=lambda volume: volume.id)[: spec.protocol.max_volumes]
    files = {volume.id: _feature_paths(volume, spec, cache) for volume in chosen}
    missing = {
        volume: {window: path for window, path in files[volume.id].items() if not path.is_file()} for volume in chosen
    }
    missing = {volume: paths for volume, paths in missing.items() if paths}
    if missing:
        first, passes = next(iter(missing)).read(), sum(len(paths) for paths in missing.values())
        log.info(estimate_cost(first, spec.protocol, spec.extractor, passes))
    for volume, paths in tqdm(missing.items(), desc=f"features of {facts['source']}", unit="volume"):
        _extract_volume(paths, volume, spec)
    return FeatureFiles(tuple(chosen), spec, facts, files)


def extract_bank(volumes: Sequence[VolumeFile], spec: FeatureSpec, facts: Mapping[str, str], cache: Path) -> Bank:
    """Return the bank of all windows of a spec; see `extract_features` and `FeatureFiles.bank`."""
    return extract_features(volumes, spec, facts, cache).bank(spec.windows)


def _feature_paths(volume: VolumeFile, spec: FeatureSpec, cache: Path) -> dict[str, Path]:
    """Return the file of the volume's features for each window."""
    parts = [
        sha256_of(volume.path),
        volume.spacing_mm,
        spec.protocol.sha256,
        spec.extractor.name,
        spec.extractor.sha256,
    ]
    keys = {window: json.dumps([*parts, window]).encode() for window in spec.windows}
    return {window: cache / f"{hashlib.sha256(key).hexdigest()}.npz" for window, key in keys.items()}


def _extract_volume(paths: Mapping[str, Path], volume: VolumeFile, spec: FeatureSpec) -> None:
    held = volume.read()
    features = volume_features(held, spec.protocol, spec.extractor, paths)
    for window, place in paths.items():
        arrays: dict[str, Any] = {f"{window}/{plane}": features[f"{window}/{plane}"] for plane in PLANES}
        write_atomically(place, partial(_save, arrays={**arrays, "spacing_mm": np.array(held.spacing_mm)}))


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _read_array(place: Path, name: str) -> np.ndarray:
    try:
        with np.load(place, allow_pickle=False) as arrays:
            array: np.ndarray = arrays[name]
            return array
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise EnvironmentFault(
            f"{place} is no file of features: {error}.",
            code="features-unreadable",
            remedy="delete it and run again; only that volume is extracted again.",
        ) from error


def _round_spacing(spacing: np.ndarray) -> Spacing:
    depth, height, width = (round(float(value), _DECIMALS) for value in spacing)
    return depth, height, width


def _common_spacing(spacings: Mapping[str, Spacing], protocol: Protocol, source: str) -> Spacing:
    if protocol.resample_mm is not None:
        return (protocol.resample_mm,) * 3
    found = sorted(set(spacings.values()))
    if len(found) == 1:
        return found[0]
    one, other = (next(name for name, value in spacings.items() if value == s) for s in found[:2])
    raise EnvironmentFault(
        f"the volumes of {source} have {len(found)} spacings: {one} {found[0]} mm, {other} {found[1]} mm.",
        code="spacing-differs",
        remedy="bring them to one grid, use a protocol that resamples (maisi, vlm3d), or state the spacing if "
        "the headers are wrong.",
    )
