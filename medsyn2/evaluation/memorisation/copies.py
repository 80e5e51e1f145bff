"""Search for copies of training volumes among synthetic ones.

Every number is of a synthetic volume's nearest *training* volume t and is read against the same number of held-out
*real* volumes, which cannot be copies: anatomy is alike, and only a synthetic volume nearer than real ones ever are is
suspect.

    contrast     d(x, t) / mean d(x, nearest volume of each of the four next nearest training patients)
    suspect      contrast below the 1st percentile of the held-out real ones, or below all of them where there are
                 fewer than a hundred
    expected     number of patients with a suspect volume if samples were as far from the training set as held-out
                 real volumes are, and the exact chance of so many or more
    own          share of the samples whose own real CT, which the generator never saw, is nearer than any training
                 volume: the request, not memory, decides their anatomy
    ratio        d(x, t) / d(t, its nearest training volume of another patient)
    AuthPct      share of synthetic volumes with a ratio above 1, in %; low values are copies
    C_T          z of the Mann-Whitney test of d(synthetic, train) against d(held-out, train); below about -3
                 the synthetic volumes lie nearer to the training data than real ones do

A copy is near to one patient and no nearer than others to the rest, so contrast decides, not distance or ratio. Decoded
volumes, and the averages that a badly trained generator makes, are smoother than a CT, which moves them away from every
CT in one description and towards every CT in another; both cancel in the contrast. They do not in AuthPct and C_T: read
these against the rows of held-out volumes after the tokenizer. A volume is suspect if either of two descriptions says
so that finds most of the copies (below):

    thumbnails   32 voxels an axis in the lung window, without mean, of unit norm: d = sqrt(2 - 2 Pearson's r).
                 They keep positions and nothing finer than about a centimetre, as a tokenizer does.
    features     one vector a volume, of unit variance on the training set, in the principal components of 95 % of the
                 variance, at most 64. They see texture, ignore position, and miss copies that a tokenizer blurred.

Every run puts training volumes through its tokenizer and reports how many of these copies each description finds. In
the demo thumbnails find all, and the weight-free features one of six; but they call all samples of reports suspect,
whose texture is nearer to one smooth training CT than to the next, and which thumbnails find near to none. A
description that misses most copies therefore has no say. Smoothing all volumes first, removing the tokenizer's mean
shift, or both, let features find more of them, and would need an extraction of their own.

Volumes of one patient are never neighbours. Rotated or cropped copies are missed; finding none proves nothing.

A held-out volume that is itself nearly one of the training set would take the threshold down to its own contrast and
hide every copy. Such near-duplicates, another reconstruction of a training scan under another name, are named and left
out.

Source: Carlini et al., arXiv:2301.13188 (distance over that of the next neighbours); Alaa et al., arXiv:2102.08921
(AuthPct; the form of Stein et al., arXiv:2306.04675); Meehan et al., arXiv:2004.05675 (C_T, here in one cell).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

COMPONENTS = 64
VARIANCE = 0.95
RIVALS = 4
NULL_PERCENTILE = 1.0
DUPLICATE_CONTRAST = 0.2
"""Contrast of thumbnails below which a held-out volume is a training volume again: two reconstructions of one scan
correlate above 0.98, and stand at a fifth of the distance to other patients or nearer."""
_BLOCK = 1024
_TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class Points:
    """One vector a volume, in a space with meaningful distances."""

    places: Float[np.ndarray, "v f"]  # A row a volume
    patients: tuple[str, ...]  # Patient of each


@dataclass(frozen=True)
class Nearest:
    """The nearest training volume of each of some volumes."""

    index: Int[np.ndarray, " v"]  # Its position in the training set
    distance: Float[np.ndarray, " v"]  # Distance to it
    contrast: Float[np.ndarray, " v"]  # That distance over the mean one to the next nearest training patients
    # That distance over the one from the training volume to its own nearest other patient
    ratio: Float[np.ndarray, " v"]


@dataclass(frozen=True)
class Memorisation:
    """Nearest training volumes of a synthetic set, with those of held-out volumes as the null."""

    synthetic: Nearest  # Nearest training volume of each synthetic one
    held_out: Nearest  # Of each held-out real one
    threshold: float  # Contrast below which a synthetic volume is suspect
    authenticity: float  # AuthPct of the synthetic volumes
    held_out_authenticity: float  # The same of the held-out real ones
    copying_z: float  # C_T
    chance: "Chance"  # Suspect patients that a generator without copies would have

    @property
    def suspect(self) -> Bool[np.ndarray, " v"]:
        """Mask of the synthetic volumes nearer to a training volume than real ones are."""
        return self.synthetic.contrast < self.threshold


@dataclass(frozen=True)
class Chance:
    """Patients with a suspect volume, if those of samples and of held-out volumes were drawn alike."""

    found: int  # Their number
    expected: float  # The number to expect
    p: float  # Chance of as many or more

    @classmethod
    def of(cls, synthetic: Float[np.ndarray, " s"], held_out: Float[np.ndarray, " h"]) -> "Chance":
        """Compare the smallest contrasts of patients: in their common order, held-out ones come at random places."""
        rank = int(NULL_PERCENTILE / 100 * (len(held_out) - 1)) + 1
        found = int((synthetic < np.sort(held_out)[rank - 1]).sum())
        both = len(synthetic) + len(held_out)
        p = stats.hypergeom.sf(found - 1, both, len(synthetic), found + rank - 1) if found else 1.0
        return cls(found, len(synthetic) * rank / (len(held_out) + 1), float(p))


@dataclass(frozen=True)
class Search:
    """The volumes among which copies are sought.

    Raises:
        ValueError: If there are too few volumes, or a patient is both in training and held out.
    """

    train: Points  # Volumes the generator was trained with, of three patients or more
    held_out: Points  # Real volumes of other patients

    def __post_init__(self) -> None:
        if len(set(self.train.patients)) < 3 or len(self.held_out.patients) < 2:
            raise ValueError("the search needs three training patients and two held-out volumes")
        shared = set(self.train.patients) & set(self.held_out.patients)
        if shared:
            raise ValueError(f"{sorted(shared)[:3]} are both in training and held out")

    @cached_property
    def null(self) -> Nearest:
        """The nearest training volumes of the held-out ones."""
        return _nearest(self.held_out, self.train)

    def memorisation(self, synthetic: Points) -> Memorisation:
        """Look for copies of training volumes among generated ones, whose patients do not matter.

        Raises:
            ValueError: If there is none.
        """
        if not len(synthetic.places):
            raise ValueError("the search needs one synthetic volume or more")
        null, found = self.null, _nearest(synthetic, self.train)
        return Memorisation(
            found,
            null,
            float(np.percentile(null.contrast, NULL_PERCENTILE, method="lower")),
            _authenticity(found),
            _authenticity(null),
            _mann_whitney_z(found.distance, null.distance),
            Chance.of(_by_patient(found, synthetic), _by_patient(null, self.held_out)),
        )

    @property
    def duplicates(self) -> Bool[np.ndarray, " v"]:
        """Mask of the held-out volumes that are training volumes again."""
        return self.null.contrast < DUPLICATE_CONTRAST


def standardise(train: Points, *others: Points) -> list[Points]:
    """Scale features to unit variance on the training set and project them on its leading components."""
    reference = np.asarray(train.places, dtype=np.float64)
    mean, scale = reference.mean(axis=0), reference.std(axis=0)
    scale[scale == 0] = np.inf  # a feature that never varies says nothing
    _, singular, axes = np.linalg.svd((reference - mean) / scale, full_matrices=False)
    share = np.cumsum(singular**2) / np.sum(singular**2)
    kept = min(int(np.searchsorted(share, VARIANCE)) + 1, COMPONENTS)
    return [
        Points(((np.asarray(one.places, dtype=np.float64) - mean) / scale) @ axes[:kept].T, one.patients)
        for one in (train, *others)
    ]


def _by_patient(found: Nearest, points: Points) -> Float[np.ndarray, " p"]:
    """Return the smallest contrast of each patient."""
    patients, index = np.unique(points.patients, return_inverse=True)
    smallest = np.full(len(patients), np.inf)
    np.minimum.at(smallest, index, found.contrast)
    return smallest


def _nearest(points: Points, train: Points) -> Nearest:
    distances = _distances(points.places, train.places)
    index = distances.argmin(axis=1)
    # From the difference, which is exact where a volume is a copy bit for bit.
    distance = np.linalg.norm(np.subtract(points.places, train.places[index], dtype=np.float64), axis=1)
    _, patient = np.unique(train.patients, return_inverse=True)
    of_patient = np.full((int(patient.max()) + 1, len(distances)), np.inf)
    np.minimum.at(of_patient, patient, distances.T)
    rivals = np.sort(of_patient, axis=0)[1 : 1 + RIVALS].mean(axis=0)
    copied, place = np.unique(index, return_inverse=True)
    between = _distances(train.places[copied], train.places)
    between[patient[copied][:, None] == patient[None]] = np.inf
    own = between.min(axis=1)[place]
    return Nearest(index, distance, distance / np.maximum(rivals, _TINY), distance / np.maximum(own, _TINY))


def _distances(first: Float[np.ndarray, "n f"], second: Float[np.ndarray, "m f"]) -> Float[np.ndarray, "n m"]:
    """Return Euclidean distances in double precision, by products of matrices, of a block of `second` at a time."""
    rows = np.asarray(first, dtype=np.float64)
    squares = np.einsum("nf,nf->n", rows, rows)[:, None]
    found = np.empty((len(first), len(second)))
    for start in range(0, len(second), _BLOCK):
        block = np.asarray(second[start : start + _BLOCK], dtype=np.float64)
        apart = squares + np.einsum("mf,mf->m", block, block) - 2 * (rows @ block.T)
        found[:, start : start + _BLOCK] = np.sqrt(np.maximum(apart, 0))
    return found


def _authenticity(nearest: Nearest) -> float:
    return float(100 * np.mean(nearest.ratio > 1))


def _mann_whitney_z(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    n, m = len(first), len(second)
    statistic = stats.mannwhitneyu(first, second, alternative="two-sided", method="asymptotic").statistic
    return float((statistic - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
