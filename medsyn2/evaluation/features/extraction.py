"""Extraction of features from files of volumes, one volume at a time and never twice.

The features of each volume and window have a file of their own, named by a hash of the volume's bytes, the protocol,
the extractor, the window and the stated spacing: a stopped extraction resumes, processes and metrics can share the
folder, and a changed volume or setting is extracted anew. The estimated time is logged first. Features of a large
cohort exceed the memory of a job, so they stay on disk and a bank is read for the windows in use.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.ct.volume import CTVolume, Spacing
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.array_cache import cached_path, read_array, write_arrays
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.features.extractors import FeatureExtractor, RandomBank, estimate_cost, volume_features
from medsyn2.evaluation.features.indices import index_path, write_indices
from medsyn2.evaluation.features.protocols import PLANES, Protocol, make_protocol
from medsyn2.evaluation.features.radimagenet import load_radimagenet
from medsyn2.evaluation.features.sizes import TILES
from medsyn2.evaluation.features.thumbnails import thumbnail_path, write_thumbnail
from medsyn2.evaluation.features.volume_file import VolumeFile

log = logging.getLogger(__name__)

_DECIMALS = 3


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
        return RandomBank(config.seed, tiles=TILES if config.tiles else 1)
    return load_radimagenet(config.radimagenet, device=config.device)


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
                name: _round_spacing(read_array(place, "spacing_mm")) for name, place in zip(names, places, strict=True)
            }
            for plane in PLANES:
                held = [read_array(place, f"{window}/{plane}") for place in places]
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


def collect_features(
    volumes: Sequence[VolumeFile], spec: FeatureSpec, facts: Mapping[str, str], cache: Path, *, indices: bool = False
) -> FeatureFiles:
    """Return the features of a set; extract those that are missing from the cache.

    Args:
        volumes: The set; if the protocol has a greatest number, the first by id are taken.
        facts: ``kind`` and ``source`` of the set.
        cache: Folder of single volumes' features, common to all sets, specs and metrics.
        indices: Whether to leave thumbnails and indices in the cache as well, where a volume is read anyway.

    Raises:
        CaseError: If a file cannot be read.
    """
    chosen = sorted(volumes, key=lambda volume: volume.id)[: spec.protocol.max_volumes]
    files = {volume.id: feature_paths(volume, spec, cache) for volume in chosen}
    missing = {volume: paths for volume in chosen if (paths := absent(files[volume.id]))}
    if missing:
        first, passes = next(iter(missing)).read(), sum(len(paths) for paths in missing.values())
        log.info(estimate_cost(first, spec.protocol, spec.extractor, passes))
    for volume in tqdm(missing, desc=f"features of {facts['source']}", unit="volume"):
        describe_volume(volume, spec, cache, thumbnail=indices, indices=indices)
    return FeatureFiles(tuple(chosen), spec, facts, files)


def extract_bank(volumes: Sequence[VolumeFile], spec: FeatureSpec, facts: Mapping[str, str], cache: Path) -> Bank:
    """Return the bank of all windows of a spec; see `collect_features` and `FeatureFiles.bank`."""
    return collect_features(volumes, spec, facts, cache).bank(spec.windows)


def describe_volume(volume: VolumeFile, spec: FeatureSpec, cache: Path, *, thumbnail: bool, indices: bool) -> None:
    """Read a volume once, for all that the cache lacks of it: features, and its thumbnail and indices if asked for."""
    missing = absent(feature_paths(volume, spec, cache))
    others = {
        thumbnail_path(volume, cache): write_thumbnail if thumbnail else None,
        index_path(volume, spec.protocol, cache): partial(write_indices, protocol=spec.protocol) if indices else None,
    }
    todo = {place: write for place, write in others.items() if write and not place.is_file()}
    if not missing and not todo:
        return
    held = volume.read()
    write_features(missing, held, spec)
    for place, write in todo.items():
        write(place, held)


def feature_paths(volume: VolumeFile, spec: FeatureSpec, cache: Path) -> dict[str, Path]:
    """Return the file of the volume's features for each window."""
    parts = [volume.digest(), volume.spacing_mm, spec.protocol.sha256, spec.extractor.name, spec.extractor.sha256]
    padding = [] if volume.padding is None else [[astuple(part) for part in volume.padding]]
    return {window: cached_path(cache, [*parts, *padding, window]) for window in spec.windows}


def write_features(paths: Mapping[str, Path], volume: CTVolume, spec: FeatureSpec) -> None:
    """Extract the features of a volume for each window in `paths`, and write them there."""
    features = volume_features(volume, spec.protocol, spec.extractor, paths)
    spacing = {"spacing_mm": np.array(volume.spacing_mm)}
    for window, place in paths.items():
        names = [f"{window}/{plane}" for plane in PLANES]
        write_arrays(place, {name: features[name] for name in names} | spacing)


def absent(paths: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files that the cache lacks."""
    return {window: path for window, path in paths.items() if not path.is_file()}


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
