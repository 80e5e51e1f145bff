"""The known ways in which values are no HU, each with its code and remedy.

A reading under which the values look like a chest names the accident, for the message only. It is never applied: the
same values may have come about in another way.
"""

from dataclasses import dataclass

import numpy as np

from medsyn2.ct.hounsfield.cuts import find_cuts
from medsyn2.ct.hounsfield.evidence import Evidence, measure_tissues
from medsyn2.ct.hounsfield.padding import Sample
from medsyn2.errors import IntensityError

_USUAL_INTERCEPTS = (-1024.0, -1000.0, -8192.0, -32768.0)
_SHADES = 256.0
_FEW = 20.0
"""No image in HU lies within this span, which is that of noise; kilo-HU, attenuation and standard deviations do."""
_ENDS = (0.0005, 0.9995)


@dataclass(frozen=True)
class Accident:
    """A known way in which values are spoiled, with its remedy."""

    code: str
    finding: str
    remedy: str


NO_METADATA = Accident(
    "hu-no-metadata",
    "values that inventory.hu_convention says are stored, without slope and intercept",
    "give cohort.metadata_csv with RescaleSlope and RescaleIntercept for this file.",
)
NORMALISED = Accident(
    "hu-normalised", "values that were windowed or normalised", "the HU are lost; take the original CT."
)
CUT = Accident("hu-cut", "HU that are cut above the lungs, so that air and lung are one value", "take the original CT.")
WRAPPED = Accident(
    "hu-wrapped",
    "negative HU stored as unsigned numbers, so that air is near 64,500",
    "convert the file with a signed data type.",
)
TWICE = Accident(
    "hu-rescaled-twice",
    "values to which the intercept was applied twice",
    "take the file before the second rescaling; CT-RATE's repaired volumes must not be rescaled.",
)
STORED = Accident(
    "hu-stored",
    "stored values that still need a slope and an intercept",
    "give cohort.metadata_csv with RescaleSlope and RescaleIntercept, or take a repaired file.",
)
INVERTED = Accident("hu-inverted", "inverted values, air bright and bone dark", "take the file that was not inverted.")
UNCLEAR = Accident(
    "hu-unclear",
    "values in which air, lung, fat, muscle and bone are not where HU put them",
    "look at the file; if its values are HU, set inventory.hu_convention: hu; if they need a slope "
    "and an intercept, set inventory.hu_convention: stored and give cohort.metadata_csv.",
)


def accident_error(name: str, found: Accident, sample: Sample, as_is: Evidence) -> IntensityError:
    """Return the error that refuses a file for an accident."""
    return IntensityError(
        f"{name}: expected HU, got {found.finding}: {describe(sample, as_is)}.", code=found.code, remedy=found.remedy
    )


def find_accident(sample: Sample, as_is: Evidence, intercept: float | None) -> Accident:
    """Find a reading under which the values look like a chest, although it cannot be applied safely.

    Args:
        as_is: The tissues in the values as they are.
        intercept: Of the metadata table, beside the usual ones.
    """
    shifts = {*_USUAL_INTERCEPTS, *(() if intercept is None else (intercept,))}
    low, high = (float(end) for end in np.quantile(sample.values[sample.is_image], (0, 1)))
    wrapped = sample._replace(values=np.where(sample.values > 32767, sample.values - 65536, sample.values))
    if is_normalised(sample):
        return NORMALISED
    if as_is.has_tissue and find_cuts(sample).is_lung_lost:
        return CUT
    if high > 32767 and measure_tissues(wrapped).is_upright_chest:
        return WRAPPED
    if any(measure_tissues(sample, 1.0, -shift).is_upright_chest for shift in shifts):
        return TWICE
    if any(measure_tissues(sample, 1.0, shift).is_upright_chest for shift in shifts):
        return STORED
    if any(measure_tissues(sample, -1.0, top).is_upright_chest for top in (0.0, low + high, high - 1024, high - 1000)):
        return INVERTED
    return UNCLEAR


def is_normalised(sample: Sample) -> bool:
    """Return whether the image is within the shades of a picture, such as 0 to 1 or 0 to 255."""
    image = sample.values[sample.is_image]
    return float(np.quantile(image, _ENDS[1])) - float(image.min()) <= _SHADES and float(image.min()) >= -1


def is_too_narrow(sample: Sample, slope: float) -> bool:
    """Return whether no HU can be in so small a span of values, whoever states it."""
    low, high = (float(end) for end in np.quantile(sample.values[sample.is_image], _ENDS))
    return (high - low) * abs(slope) <= _FEW or (slope == 1.0 and is_normalised(sample))


def describe(sample: Sample, as_is: Evidence) -> str:
    """Describe values that are not HU."""
    image = sample.values[sample.is_image]
    low, early, middle, late, high = np.percentile(image, (0, 10, 50, 90, 100))
    padding = ", ".join(f"{part.value:g}" for part in sample.padding)
    return (
        f"values from {low:g} to {high:g}{f' beside padding of {padding}' if padding else ''} with 10, 50, 90 % below "
        f"{early:g}, {middle:g}, {late:g}; read as HU, {as_is.air_share:.0%} would be air or lung, "
        f"{as_is.tissue_share:.0%} soft tissue and {as_is.impossible_share:.0%} impossible"
    )
