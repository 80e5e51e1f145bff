"""Detection of Hounsfield units.

A file does not state the unit of its values. CT-RATE alone exists both as stored values, whose slope and intercept
are in a table, and as HU with the same table; applying the table to the latter gives air of -2024 HU and raises no
error. So the unit is detected from the values and never assumed. `detect_hu` tries the plausible readings (the values
as they are; slope and intercept applied) and accepts the one in which each tissue of a chest is in its place. If none
does, the known accidents (rescaled twice, inverted, wrapped to 65,5xx, normalised, cut) are tried for the error message
only: a guess never becomes data.

A stated unit wins over the values, with a note of all that speaks against it. Refused are only values that cannot be HU
whoever says so: one value everywhere, or an image within the shades of a picture.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medsyn2.ct.hounsfield.accidents import (
    CUT,
    NO_METADATA,
    NORMALISED,
    accident_error,
    describe,
    find_accident,
    is_too_narrow,
)
from medsyn2.ct.hounsfield.cuts import find_cuts
from medsyn2.ct.hounsfield.evidence import Evidence, measure_tissues
from medsyn2.ct.hounsfield.padding import Sample, is_filled, take_sample
from medsyn2.ct.intensity import HU_RANGE
from medsyn2.errors import IntensityError
from medsyn2.facts import HuScale, Padding
from medsyn2.types import Num

Convention = Literal["detect", "hu", "stored"]

_IDENTITY = (1.0, 0.0)


@dataclass(frozen=True)
class Judgement:
    """The unit of a file's values, its padding, and the notes for its record."""

    scale: HuScale
    padding: tuple[Padding, ...] | None  # None where nothing needs to be set to air
    notes: tuple[str, ...]


def detect_hu(
    values: Num[np.ndarray, "d h w"],
    *,
    name: str,
    convention: Convention = "detect",
    slope: float | None = None,
    intercept: float | None = None,
) -> Judgement:
    """Detect the unit of a chest CT's values.

    Args:
        values: The file's values after its own header's scaling.
        convention: ``detect``; or ``hu`` or ``stored``, which wins over the values.

    Raises:
        IntensityError: If the values are constant or normalised; if they are stated to be stored values and slope or
            intercept is missing; or, if `convention` is ``detect``, they are damaged in a known way or ambiguous.
    """
    sample = take_sample(values)
    if not sample.is_image.any():
        raise _no_image(sample, values, name)
    rescale = None if slope is None or intercept is None else (slope, intercept)
    if convention == "detect":
        return _detect(sample, rescale, name)
    return _obey(sample, convention, rescale, name)


def _detect(sample: Sample, rescale: tuple[float, float] | None, name: str) -> Judgement:
    as_is = measure_tissues(sample)
    if as_is.is_chest:
        return _judge(sample, as_is, "hu", _IDENTITY, name)
    if rescale is not None and (rescaled := measure_tissues(sample, *rescale)).is_upright_chest:
        return _judge(sample, rescaled, "stored", rescale, name)
    raise accident_error(name, find_accident(sample, as_is, rescale[1] if rescale else None), sample, as_is)


def _obey(sample: Sample, stated: Literal["hu", "stored"], rescale: tuple[float, float] | None, name: str) -> Judgement:
    """Take the values as stated, and note all that speaks against it."""
    as_is = measure_tissues(sample)
    if stated == "stored" and rescale is None:
        raise accident_error(name, NO_METADATA, sample, as_is)
    scale = _IDENTITY if stated == "hu" or rescale is None else rescale
    if is_too_narrow(sample, scale[0]):
        raise accident_error(name, NORMALISED, sample, as_is)
    read = measure_tissues(sample, *scale)
    doubt = ""
    if stated == "stored" and as_is.is_chest:
        doubt = "values that are HU already"
    elif not (read.is_chest if stated == "hu" else read.is_upright_chest):
        doubt = find_accident(sample, as_is, rescale[1] if rescale else None).finding
    elif stated == "hu" and not as_is.is_upright_chest:
        doubt = "inverted values"
    notes = (
        (f"taken as {stated}, as stated, though they look like {doubt}: {describe(sample, as_is)}",) if doubt else ()
    )
    return _judge(sample, read, stated, scale, None, notes)


def _judge(
    sample: Sample,
    read: Evidence,
    convention: Literal["hu", "stored"],
    scale: tuple[float, float],
    name: str | None,
    notes: tuple[str, ...] = (),
) -> Judgement:
    """Record a reading; refuse it for lost lungs if `name` is given."""
    cuts = find_cuts(sample, *scale)
    if cuts.is_lung_lost and name is not None:
        raise accident_error(name, CUT, sample, read)
    meaning = HuScale(convention, *scale, read.file_air_hu)
    told = [part for part in sample.padding if is_filled(part, meaning) or _is_below(part, meaning)]
    if told:
        values = ", ".join(f"{part.value:g}" for part in told)
        share = sum(sample.shares[part.value] for part in told)
        notes += (f"{share:.1%} of the voxels are padding ({values}) and are read as air",)
    padding = sample.padding if any(is_filled(part, meaning) for part in told) else None
    return Judgement(meaning, padding, (*notes, *cuts.notes))


def _is_below(padding: Padding, meaning: HuScale) -> bool:
    return padding.value * meaning.slope + meaning.intercept < HU_RANGE[0]


def _no_image(sample: Sample, values: Num[np.ndarray, "d h w"], name: str) -> IntensityError:
    low, high = float(values.min()), float(values.max())
    found = f"the single value {low:g} in every voxel" if low == high else f"flat areas from {low:g} to {high:g} alone"
    return IntensityError(
        f"{name}: expected a CT, got {found}.",
        code="volume-constant",
        remedy="the file holds no image; get it again from its source.",
    )
