"""The smallest faults that a table can show: blur, noise and a shift of HU that move the distance by its floor.

Of few patients the floor is high, and a fault below it is seen by nobody who reads the table. A few of the real volumes
are blurred, made noisy and shifted, each at two strengths. The Frechet distance of their features from those of the
same volumes as they are is the fault's part of a distance, free of the bias of few volumes. It grows as a power of the
strength, near 2, which the two strengths tell, and with it the strength at which it is as large as the floor.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.features.extraction import FeatureSpec
from medsyn2.evaluation.features.extractors import volume_features
from medsyn2.evaluation.features.frechet import frechet_distance
from medsyn2.evaluation.features.protocols import PLANES
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.fidelity.sizes import FAULT_VOLUMES

_BLUR_VOXELS = (0.5, 1.0)
_HU = (15.0, 45.0)
"""Strengths of noise and of the shift: a factor of three apart, so that the power between them can be told. The answer
does not depend on them where the distance is a power of the strength."""

UNITS = {"blur": "mm", "noise": "HU", "shift": "HU"}

Strengths = tuple[float, float]
Features = dict[str, Float[np.ndarray, "_ f"]]


@dataclass(frozen=True)
class Faults:
    """The distances that faults of known strengths make."""

    strengths: Mapping[str, Strengths]  # By kind, in mm or HU
    signals: Mapping[tuple[str, float], Mapping[str, float]]  # By kind and strength, then by part

    def smallest(self, kind: str, window: str, floor: float) -> float:
        """Return the strength at which the mean distance over the planes of a window is the floor; NaN if none is."""
        first, second = self.strengths[kind]
        weak, strong = (
            float(np.mean([self.signals[kind, one][f"{window}/{plane}"] for plane in PLANES]))
            for one in (first, second)
        )
        if not 0 < weak < strong or not isfinite(floor):
            return nan
        power = np.log(strong / weak) / np.log(second / first)
        return float(second * (floor / strong) ** (1 / power))

    def words(self, window: str, rows: Iterable[Mapping[str, Any]]) -> str:
        """Return the smallest strengths in words, by the floor of most patients in a table; empty without a floor."""
        means = [row for row in rows if row["plane"] == "mean"]
        best = max(means, key=lambda row: row["floor_patients"])
        found = {kind: self.smallest(kind, window, best["floor"]) for kind in self.strengths}
        known = [f"{kind} of {one:.2g} {UNITS[kind]}" for kind, one in found.items() if isfinite(one)]
        return f"at {best['floor_patients']} patients: {', '.join(known)}" if known else ""


def measure_faults(volumes: Sequence[VolumeFile], spec: FeatureSpec) -> Faults:
    """Measure the distances that faults make, on a few of some real volumes."""
    places = np.unique(np.linspace(0, len(volumes) - 1, FAULT_VOLUMES).round().astype(int))
    found: dict[tuple[str, float], list[Features]] = defaultdict(list)
    strengths: dict[str, Strengths] = {}
    for place in places:
        held = volumes[place].read()
        finest_mm = min(held.spacing_mm)
        blur_mm = (finest_mm * _BLUR_VOXELS[0], finest_mm * _BLUR_VOXELS[1])
        strengths = strengths or {"blur": blur_mm, "noise": _HU, "shift": _HU}
        for (kind, strength), hu in _faulty(held, strengths, np.random.default_rng(place)):
            faulty = CTVolume(hu, held.affine_mm)
            found[kind, strength].append(volume_features(faulty, spec.protocol, spec.extractor, spec.windows))
    parts = {name: _join(made) for name, made in found.items()}
    clean = parts.pop(_CLEAN)
    signals = {name: {part: frechet_distance(clean[part], one[part]) for part in clean} for name, one in parts.items()}
    return Faults(strengths, signals)


_CLEAN = ("clean", 0.0)


def _faulty(
    volume: CTVolume, strengths: Mapping[str, Strengths], rng: np.random.Generator
) -> Iterator[tuple[tuple[str, float], Float[np.ndarray, "d h w"]]]:
    """Yield a volume as it is, then with each fault at each strength."""
    hu = volume.hu.astype(np.float32)
    yield _CLEAN, hu
    for sigma_mm in strengths["blur"]:
        yield ("blur", sigma_mm), ndimage.gaussian_filter(hu, sigma_mm / np.array(volume.spacing_mm))
    noise = rng.standard_normal(hu.shape, np.float32)
    for name, pattern in (("noise", noise), ("shift", np.float32(1.0))):
        for strength in strengths[name]:
            yield (name, strength), hu + np.float32(strength) * pattern


def _join(made: Sequence[Features]) -> Features:
    return {part: np.concatenate([one[part] for one in made]) for part in made[0]}
