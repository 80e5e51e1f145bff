"""Real CTs on one grid, and their descriptions, clean and with each fault, kept on the disk."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import torch

from medsyn2.cohort.folder import list_folder
from medsyn2.ct.geometry import isotropic
from medsyn2.ct.lungs import segment_lungs
from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.features.extractors import RandomBank
from medsyn2.evaluation.features.indices import INDICES, volume_indices
from medsyn2.evaluation.features.protocols import PLANES, Protocol, make_protocol, plane_slices, prepare_volume
from medsyn2.evaluation.features.sizes import THUMBNAIL_WINDOW, TILES
from medsyn2.evaluation.features.thumbnails import thumbnail
from medsyn2.evaluation.fidelity.indices import align
from medsyn2.vocabulary import WINDOWS_HU
from sensitivity_rows.degradations import AIR_HU, RANGE_HU, Chest, degradations, degrade

CLEAN = "clean"
EXTENT_MM = (304.0, 320.0, 384.0)
"""Depth, height and width of the common grid: a chest."""

EXTRACTORS = {"whole slices": RandomBank(0), "3 x 3 tiles": RandomBank(0, tiles=TILES)}


@dataclass(frozen=True)
class Description:
    """A volume as the evaluation sees it."""

    features: Mapping[str, Mapping[str, np.ndarray]]  # By extractor, then by window and plane
    thumbnail: np.ndarray
    indices: dict[str, float]

    @cached_property
    def alignment(self) -> tuple[np.ndarray, float]:
        """The thumbnail with its plane of symmetry in the middle, and the correlation of its halves."""
        return align(self.thumbnail)


def describe_chests(folder: Path, kept: Path, spacing_mm: float, num_slices: int) -> dict[str, dict[str, Description]]:
    """Return the descriptions of every CT of a folder, by its name and the fault; what is kept is not made again."""
    found = {}
    for path in list_folder(folder).volumes:
        name = path.name.split(".")[0]
        place = kept / f"{name}-{spacing_mm:g}mm-{num_slices}.npz"
        if not place.is_file():
            print(f"describing {name}", flush=True)
            _write(place, _describe(_on_common_grid(name, read_ct(path), spacing_mm), num_slices))
        found[name] = _read(place)
    return found


def _on_common_grid(name: str, volume: CTVolume, spacing_mm: float) -> Chest:
    """Return a CT about the middle of its lungs and of its field of view, with air around it."""
    volume = isotropic(volume, spacing_mm)
    lungs = segment_lungs(volume, spacing_mm).labels
    rows = np.flatnonzero((lungs > 0).any(axis=(1, 2)))
    centre = ((rows[0] + rows[-1]) // 2, volume.shape[1] // 2, volume.shape[2] // 2)
    shape = tuple(round(extent / spacing_mm / 8) * 8 for extent in EXTENT_MM)
    hu, labels = np.full(shape, AIR_HU, np.float32), np.zeros(shape, np.uint8)
    to, of = [], []
    for size, own, middle in zip(shape, volume.shape, centre, strict=True):
        start = max(0, size // 2 - middle)
        first = max(0, middle - size // 2)
        length = min(size - start, own - first)
        to.append(slice(start, start + length))
        of.append(slice(first, first + length))
    hu[tuple(to)] = np.clip(volume.hu[tuple(of)], *RANGE_HU)
    labels[tuple(to)] = lungs[tuple(of)]
    return Chest(name, hu, labels, to[0], spacing_mm)


def _describe(chest: Chest, num_slices: int) -> Iterator[tuple[str, Description]]:
    protocol = make_protocol("paper", clip_hu=RANGE_HU, num_slices=num_slices)
    affine = axis_aligned_affine((chest.spacing_mm,) * 3, (0.0, 0.0, 0.0))
    for name, fault in ((CLEAN, lambda chest: chest.hu), *degradations()):
        hu = degrade(chest, fault)
        features = _features(CTVolume(hu, affine), protocol)
        yield name, Description(features, thumbnail(hu, WINDOWS_HU[THUMBNAIL_WINDOW]), volume_indices(hu))


def _features(volume: CTVolume, protocol: Protocol) -> dict[str, dict[str, np.ndarray]]:
    """Return the features of both extractors, which are filtered once."""
    hu = prepare_volume(volume, protocol)
    found: dict[str, dict[str, np.ndarray]] = {key: {} for key in EXTRACTORS}
    for window, plane in product(WINDOWS_HU, PLANES):
        slices = plane_slices(hu, plane, protocol.windows_hu[window], protocol)
        filters = next(iter(EXTRACTORS.values()))
        maps = filters.filter(torch.from_numpy(np.ascontiguousarray(slices, dtype=np.float32)))
        for key, extractor in EXTRACTORS.items():
            found[key][f"{window}/{plane}"] = extractor.summarise(maps).numpy()
    return found


def _write(place: Path, made: Iterator[tuple[str, Description]]) -> None:
    arrays = {}
    for name, one in made:
        for key, features in one.features.items():
            arrays |= {f"{name}|{key}|{part}": values for part, values in features.items()}
        arrays[f"{name}|thumbnail"] = one.thumbnail
        arrays[f"{name}|indices"] = np.array([one.indices[index] for index in INDICES])
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_suffix(".part.npz")
    np.savez(partial, **arrays)
    partial.replace(place)


def _read(place: Path) -> dict[str, Description]:
    with np.load(place) as arrays:
        names = [key.removesuffix("|indices") for key in arrays.files if key.endswith("|indices")]
        return {
            name: Description(
                {
                    key: {
                        part.removeprefix(f"{name}|{key}|"): arrays[part]
                        for part in arrays.files
                        if part.startswith(f"{name}|{key}|")
                    }
                    for key in EXTRACTORS
                },
                arrays[f"{name}|thumbnail"],
                dict(zip(INDICES, arrays[f"{name}|indices"].tolist(), strict=True)),
            )
            for name in names
        }
