"""Intensity: detection of Hounsfield units, and the value ranges of networks and windows.

A file does not state the unit of its values. CT-RATE alone exists both as stored values, whose slope and intercept
are in a table, and as HU with the same table; applying the table to the latter gives air of -2024 HU and raises no
error. So the unit is detected from the values and never assumed: in HU a chest has air and lung between -1100 and
-700, soft tissue between -200 and 300, next to nothing below -1100, and the most frequent value of air lies within 60
of -1000. Padding outside the scanner's field of view (-2000, -3024, ...) is one isolated value and is ignored.

`detect_hu` tries the plausible readings (the values as they are; slope and intercept applied) and accepts the one
that looks like a chest. If none does, the known accidents (rescaled twice, inverted, wrapped to 65,5xx, normalised)
are tried for the error message only: a guess never becomes data.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from medsyn2.errors import IntensityError
from medsyn2.facts import HuScale

HU_RANGE = (-1024, 3071)
"""Range of a 12-bit CT; values are clipped to it."""

MASK_BACKGROUND, MASK_FOREGROUND = -0.5, 0.5
"""A mask as the tokenizer sees it."""

Convention = Literal["detect", "hu", "stored"]

_SAMPLED_VOXELS = 4_000_000
_AIR_AND_LUNG_HU = (-1100.0, -700.0)
_AIR_HU = (-1060.0, -900.0)
_TISSUE_HU = (-200.0, 300.0)
_POSSIBLE_HU = (-1100.0, 32000.0)
_MIN_SHARE = 0.03
_MAX_IMPOSSIBLE = 0.01
_MAX_DARK = 0.002
_PADDING_GAP = 200.0
_USUAL_INTERCEPTS = (-1024.0, -1000.0, -8192.0, -32768.0)


@dataclass(frozen=True)
class HuConvention(HuScale):
    """Conversion of one file's values, and the share of padding among them."""

    # Share of the voxels that are padding: one value below -1100 HU, outside the field of view
    padding_share: float


@dataclass(frozen=True)
class _Statistics:
    """Statistics of values that are read as HU."""

    air_hu: float | None
    air_share: float
    tissue_share: float
    impossible_share: float
    padding_share: float
    dark_share: float
    bright_share: float

    @property
    def is_possible(self) -> bool:
        return self.tissue_share >= _MIN_SHARE and self.impossible_share <= _MAX_IMPOSSIBLE

    @property
    def is_chest(self) -> bool:
        return (
            self.air_hu is not None
            and _AIR_HU[0] <= self.air_hu <= _AIR_HU[1]
            and self.air_share >= _MIN_SHARE
            and self.is_possible
        )

    @property
    def is_upright_chest(self) -> bool:
        # In inverted values, more voxels are darker than air than are brighter than tissue.
        return self.is_chest and self.dark_share <= max(self.bright_share, _MAX_DARK)


def detect_hu(
    values: Num[np.ndarray, "d h w"],
    *,
    name: str,
    convention: Convention = "detect",
    slope: float | None = None,
    intercept: float | None = None,
) -> HuConvention:
    """Detect the unit of a chest CT's values.

    Args:
        values: The file's values after its own header's scaling.
        convention: ``detect``; or ``hu`` or ``stored`` where the values alone are ambiguous. A stated convention
            that the values contradict is refused.

    Raises:
        IntensityError: If the values are constant, damaged in a known way, ambiguous, contradict
            `convention`, or are stored values without slope and intercept.
    """
    sample = _sample(values)
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise IntensityError(
            f"{name}: expected a CT, got the single value {low:g} in every voxel.",
            code="volume-constant",
            remedy="the file holds no image; get it again from its source.",
        )
    as_is = _measure(sample)
    rescale = None if slope is None or intercept is None else (slope, intercept)
    rescaled = None if rescale is None else _measure(sample * rescale[0] + rescale[1])
    if convention != "stored" and as_is.is_chest:
        return HuConvention("hu", 1.0, 0.0, as_is.air_hu, as_is.padding_share)
    if convention != "hu" and rescale is not None and rescaled is not None and rescaled.is_upright_chest:
        return HuConvention("stored", *rescale, rescaled.air_hu, rescaled.padding_share)
    found = _find_contradiction(convention, rescale, as_is, rescaled) or _find_accident(sample, (low, high), rescale)
    if found is not None:
        seen = _describe(sample, (low, high), as_is)
        raise IntensityError(f"{name}: expected HU, got {found.finding}: {seen}.", code=found.code, remedy=found.remedy)
    if convention == "hu" and as_is.is_possible:
        return HuConvention("hu", 1.0, 0.0, as_is.air_hu, as_is.padding_share)
    if convention == "stored" and rescale is not None and rescaled is not None and rescaled.is_possible:
        return HuConvention("stored", *rescale, rescaled.air_hu, rescaled.padding_share)
    raise IntensityError(
        f"{name}: expected HU (air near -1000, tissue near 40), got {_describe(sample, (low, high), as_is)}.",
        code="hu-unclear",
        remedy="look at the file; if its values are HU, set inventory.hu_convention: hu; if they need a slope "
        "and an intercept, set inventory.hu_convention: stored and give cohort.metadata_csv.",
    )


def _sample(values: Num[np.ndarray, "d h w"]) -> Float[np.ndarray, " n"]:
    """Take every n-th voxel on all axes, at most about four million."""
    step = max(1, int(np.ceil((values.size / _SAMPLED_VOXELS) ** (1 / 3))))
    return values[::step, ::step, ::step].ravel().astype(np.float32)


def _measure(hu: Float[np.ndarray, " n"]) -> _Statistics:
    lowest = hu.min()
    above = hu[hu > lowest]
    is_padding = lowest < _POSSIBLE_HU[0] and above.size > 0 and above.min() - lowest >= _PADDING_GAP
    body = above if is_padding else hu
    air = body[(body >= _AIR_AND_LUNG_HU[0]) & (body < -850)]
    counts, edges = np.histogram(air, bins=25, range=(-1100, -850))
    return _Statistics(
        air_hu=float(edges[counts.argmax()] + 5) if air.size else None,
        air_share=_share(body, _AIR_AND_LUNG_HU),
        tissue_share=_share(body, _TISSUE_HU),
        impossible_share=1.0 - _share(body, _POSSIBLE_HU),
        padding_share=1.0 - body.size / hu.size,
        dark_share=float(np.count_nonzero(body < _AIR_HU[0]) / body.size),
        bright_share=float(np.count_nonzero(body > _TISSUE_HU[1]) / body.size),
    )


def _share(hu: Float[np.ndarray, " n"], bounds: tuple[float, float]) -> float:
    return float(np.count_nonzero((hu >= bounds[0]) & (hu <= bounds[1])) / hu.size)


@dataclass(frozen=True)
class _Accident:
    """A known way in which values are spoiled, with its remedy."""

    code: str
    finding: str
    remedy: str


_NO_METADATA = _Accident(
    "hu-no-metadata",
    "values that inventory.hu_convention says are stored, without slope and intercept",
    "give cohort.metadata_csv with RescaleSlope and RescaleIntercept for this file.",
)
_NOT_STORED = _Accident(
    "hu-not-stored",
    "values that are HU already, though inventory.hu_convention is stored",
    "set inventory.hu_convention: detect or hu; rescaling these values would ruin them.",
)
_NOT_HU = _Accident(
    "hu-stored",
    "stored values, though inventory.hu_convention is hu",
    "set inventory.hu_convention: detect, so that the metadata table's slope and intercept are applied.",
)
_NORMALISED = _Accident(
    "hu-normalised", "values that were windowed or normalised", "the HU are lost; take the original CT."
)
_WRAPPED = _Accident(
    "hu-wrapped",
    "negative HU stored as unsigned numbers, so that air is near 64,500",
    "convert the file with a signed data type.",
)
_TWICE = _Accident(
    "hu-rescaled-twice",
    "values to which the intercept was applied twice",
    "take the file before the second rescaling; CT-RATE's repaired volumes must not be rescaled.",
)
_STORED = _Accident(
    "hu-stored",
    "stored values that still need a slope and an intercept",
    "give cohort.metadata_csv with RescaleSlope and RescaleIntercept, or take a repaired file.",
)
_INVERTED = _Accident(
    "hu-inverted", "inverted values, air bright and bone dark", "take the file that was not inverted."
)


def _find_contradiction(
    convention: Convention, rescale: tuple[float, float] | None, as_is: _Statistics, rescaled: _Statistics | None
) -> _Accident | None:
    """Find the contradiction between the values and the configured convention, if any."""
    if convention == "stored" and rescale is None:
        return _NO_METADATA
    if convention == "stored" and as_is.is_chest:
        return _NOT_STORED
    if convention == "hu" and rescaled is not None and rescaled.is_upright_chest:
        return _NOT_HU
    return None


def _find_accident(
    sample: Float[np.ndarray, " n"], extremes: tuple[float, float], rescale: tuple[float, float] | None
) -> _Accident | None:
    """Find a reading under which the values look like a chest, although it cannot be applied safely."""
    low, high = extremes
    shifts = {*_USUAL_INTERCEPTS, *((rescale[1],) if rescale else ())}
    if high - low <= 256 and low >= -1:
        return _NORMALISED
    if high > 32767 and _measure(np.where(sample > 32767, sample - 65536, sample)).is_upright_chest:
        return _WRAPPED
    if any(_measure(sample - shift).is_upright_chest for shift in shifts):
        return _TWICE
    if any(_measure(sample + shift).is_upright_chest for shift in shifts):
        return _STORED
    if any(_measure(top - sample).is_upright_chest for top in (0.0, low + high, high - 1024, high - 1000)):
        return _INVERTED
    return None


def _describe(sample: Float[np.ndarray, " n"], extremes: tuple[float, float], as_is: _Statistics) -> str:
    middle = np.percentile(sample, (10, 50, 90))
    return (
        f"values from {extremes[0]:g} to {extremes[1]:g} with 10, 50, 90 % below {middle[0]:g}, "
        f"{middle[1]:g}, {middle[2]:g}; read as HU, {as_is.air_share:.0%} would be air or lung, "
        f"{as_is.tissue_share:.0%} soft tissue and {as_is.impossible_share:.0%} impossible"
    )


def to_hu(values: Num[np.ndarray, "d h w"], meaning: HuScale) -> Int[np.ndarray, "d h w"]:
    """Convert values to HU, clipped to -1024 .. 3071, as int16."""
    hu = np.empty(values.shape, np.int16)
    exact = meaning.convention == "hu" and np.issubdtype(values.dtype, np.integer)
    for source, target in zip(values, hu, strict=True):  # Slice by slice: no copy of the volume in floats.
        slab = source if exact else np.rint(source.astype(np.float64) * meaning.slope + meaning.intercept)
        target[...] = np.clip(slab, *HU_RANGE)
    return hu


def hu_to_unit(hu: Num[np.ndarray, "..."], clip_hu: tuple[float, float]) -> Float[np.ndarray, "..."]:
    """Clip HU to `clip_hu` and map them to [-1, 1], float32."""
    low, high = clip_hu
    unit = np.clip(hu, low, high).astype(np.float32)
    unit -= (low + high) / 2
    unit /= (high - low) / 2
    return unit


def mask_to_unit(inside: Bool[np.ndarray, "d h w"]) -> Float[np.ndarray, "d h w"]:
    """Return a mask as the tokenizer sees it, float32."""
    return np.where(inside, np.float32(MASK_FOREGROUND), np.float32(MASK_BACKGROUND))


def unit_to_hu(unit: Float[np.ndarray, "..."], clip_hu: tuple[float, float]) -> Int[np.ndarray, "..."]:
    """Clip to [-1, 1] and map back to whole HU, int16.

    Raises:
        IntensityError: If a value is not finite.
    """
    if not np.isfinite(unit).all():
        raise IntensityError(
            f"Expected finite values, got {np.count_nonzero(~np.isfinite(unit))} that are NaN or infinite.",
            code="unit-not-finite",
            remedy="the network that made them is broken; look at its training loss.",
        )
    low, high = clip_hu
    return np.rint(np.clip(unit, -1, 1) * ((high - low) / 2) + (low + high) / 2).astype(np.int16)


def apply_window(hu: Num[np.ndarray, "..."], window_hu: tuple[float, float]) -> Float[np.ndarray, "..."]:
    """Clip HU to a window (lower, upper) and map them to [0, 1], float32."""
    low, high = window_hu
    unit = np.clip(hu, low, high).astype(np.float32, copy=False)
    unit -= low
    unit /= high - low
    return unit
