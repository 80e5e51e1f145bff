"""The tissues that values show when they are read as HU.

A chest has air or lung between -1100 and -700, fat near -100, muscle and blood near 50, and a little bone above 300.
The air around a patient is near -1000, but a small field of view shows none; there, the lungs speak for the low end of
the scale, and fat and muscle for the middle. Noise may spread air below -1100, but symmetrically around its peak;
anything else that low inside the field of view is impossible. Padding is left out, and so are values below -1100 that
reach a side of the slice: the rim of padding, and padding that is not constant.
"""

from dataclasses import dataclass

import numpy as np

from medsyn2.ct.hounsfield.flat import reach_from_sides
from medsyn2.ct.hounsfield.padding import Sample
from medsyn2.types import Bool, Float, Num

_AIR_AND_LUNG_HU = (-1100.0, -700.0)
_AIR_HU = (-1060.0, -900.0)
_LUNG_PEAK_HU = (-1060.0, -600.0)
_TISSUE_HU = (-200.0, 300.0)
_TISSUE_PEAK_HU = (-150.0, 130.0)
_FAT_END_HU = -20.0
"""Between the peaks of fat, near -100, and of muscle and blood, near 50."""
_MAX_CONTRAST, _MIN_CONTRAST = 3.0, 0.05
_POSSIBLE_HU = (-1100.0, 32000.0)
_BODY_HU = -300.0
_MIN_SHARE = 0.03
_MAX_IMPOSSIBLE = 0.01
_MAX_DARK = 0.002
_MAX_BRIGHT = 0.35
"""Bone, contrast medium and metal of all that is no air or lung; of HU + 1024, half a body is above 300."""
_MAX_NOISE_HU = 200.0
"""Twice the noise of the sharpest low-dose scans; values rescaled twice spread over 500 below their air."""
_ISOLATED_HU = 200.0

Hu = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Evidence:
    """Tissues in values that are read as HU."""

    file_air_hu: float | None  # Most frequent HU of air in the whole file, padding included, to 10 HU
    air_hu: float | None  # The same of the image alone
    low_peak_hu: float | None  # Most frequent HU of air and lung
    tissue_peak_hu: float | None  # Most frequent HU of fat, muscle and blood
    air_share: float  # Of air and lung
    tissue_share: float
    impossible_share: float
    dark_share: float  # Below air
    bright_share: float  # Above tissue
    bright_body_share: float  # The same, of all that is no air or lung
    beside_peak: tuple[float, float]  # Shares 100 to 200 below and above the peak of tissue

    @property
    def has_tissue(self) -> bool:
        """Whether fat, muscle and blood are where HU put them."""
        return self.is_possible and _within(self.tissue_peak_hu, _TISSUE_PEAK_HU)

    @property
    def is_fat_below_muscle(self) -> bool:
        """Whether the peak that is fat or muscle has the other one on its right side, at a distance of 150 HU."""
        below, above = self.beside_peak
        is_fat = self.tissue_peak_hu is not None and self.tissue_peak_hu < _FAT_END_HU
        return above >= below if is_fat else above <= max(_MAX_CONTRAST * below, _MIN_CONTRAST)

    @property
    def is_possible(self) -> bool:
        """Whether there is tissue, and next to nothing that no scanner measures."""
        return self.tissue_share >= _MIN_SHARE and self.impossible_share <= _MAX_IMPOSSIBLE

    @property
    def is_chest(self) -> bool:
        """Whether each part of a chest is where HU put it."""
        is_muscle = self.tissue_peak_hu is not None and self.tissue_peak_hu >= _FAT_END_HU
        has_air = _within(self.air_hu, _AIR_HU) and (is_muscle or self.is_fat_below_muscle)
        has_lung = _within(self.low_peak_hu, _LUNG_PEAK_HU) and self.has_tissue and self.is_fat_below_muscle
        enough = self.air_share >= _MIN_SHARE and self.is_possible and self.bright_body_share <= _MAX_BRIGHT
        return (has_air or has_lung) and enough

    @property
    def is_upright_chest(self) -> bool:
        """Whether it is a chest that is not inverted: more would be darker than air than is brighter than tissue."""
        return self.is_chest and self.dark_share <= max(self.bright_share, _MAX_DARK)


def measure_tissues(sample: Sample, slope: float = 1.0, intercept: float = 0.0) -> Evidence:
    """Measure the tissues in a sample that is read as ``slope * value + intercept`` HU."""
    hu = (
        sample.values if (slope, intercept) == (1.0, 0.0) else sample.values * np.float32(slope) + np.float32(intercept)
    )
    image = hu[_image_of(hu, sample.is_image)]
    low_peak = _peak(image, (-2000.0, -600.0))
    tissue_peak = _peak(image, (-300.0, 600.0), smooth=3)
    centre = tissue_peak or 0.0
    body = image[image > _BODY_HU]
    return Evidence(
        file_air_hu=_peak(hu[hu < -850], (-1100.0, -850.0)),
        air_hu=_peak(image[image < -850], (-1100.0, -850.0)),
        low_peak_hu=low_peak,
        tissue_peak_hu=tissue_peak,
        air_share=_share(image, _AIR_AND_LUNG_HU),
        tissue_share=_share(image, _TISSUE_HU),
        impossible_share=_impossible_share(image, low_peak),
        dark_share=float(np.count_nonzero(image < _AIR_HU[0]) / max(image.size, 1)),
        bright_share=float(np.count_nonzero(image > _TISSUE_HU[1]) / max(image.size, 1)),
        bright_body_share=float(np.count_nonzero(body > _TISSUE_HU[1]) / max(body.size, 1)),
        beside_peak=(_share(image, (centre - 200, centre - 100)), _share(image, (centre + 100, centre + 200))),
    )


def _image_of(hu: Float[np.ndarray, "d h w"], is_image: Bool[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d h w"]:
    """Return the image without what is too low for HU at the sides, or is one isolated value."""
    low = (hu < _POSSIBLE_HU[0]) & is_image
    if not low.any():
        return is_image
    free = low | ~is_image
    outside = np.stack([reach_from_sides(plane) if plane.any() else plane for plane in free])
    image = is_image & ~outside
    lowest = hu[image].min(initial=np.inf)
    above = hu[image & (hu > lowest)]
    if lowest < _POSSIBLE_HU[0] and above.size and above.min() - lowest >= _ISOLATED_HU:
        return image & (hu > lowest)
    return image


def _impossible_share(image: Hu, low_peak_hu: float | None) -> float:
    """Return the share of values that no scanner measures; noise of air around its peak is possible."""
    below = int(np.count_nonzero(image < _POSSIBLE_HU[0]))
    above = int(np.count_nonzero(image > _POSSIBLE_HU[1]))
    if below > _MAX_IMPOSSIBLE * image.size and low_peak_hu is not None and _within(low_peak_hu, _LUNG_PEAK_HU):
        left = image[image < low_peak_hu] - low_peak_hu
        if np.sqrt(np.square(left).mean()) <= _MAX_NOISE_HU:
            below = 0
    return float((below + above) / max(image.size, 1))


def _peak(hu: Num[np.ndarray, "..."], bounds: tuple[float, float], smooth: int = 1) -> float | None:
    """Return the most frequent value within `bounds`, to 10 HU; None if there is none."""
    counts, edges = np.histogram(hu, bins=round((bounds[1] - bounds[0]) / 10), range=bounds)
    if not counts.any():
        return None
    counts = np.convolve(counts, np.ones(smooth, int), mode="same")
    return float(edges[counts.argmax()] + 5)


def _share(hu: Hu, bounds: tuple[float, float]) -> float:
    return float(np.count_nonzero((hu >= bounds[0]) & (hu <= bounds[1])) / max(hu.size, 1))


def _within(value: float | None, bounds: tuple[float, float]) -> bool:
    return value is not None and bounds[0] <= value <= bounds[1]
