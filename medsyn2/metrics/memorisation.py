"""Did the generator learn, or copy? Nearest training volumes, read against what real volumes do.

Every number is of a synthetic volume's nearest *training* volume, set beside the same number of held-out *real*
volumes, which cannot be copies: anatomy is alike, and only a synthetic volume nearer than real ones ever are is
suspect.

    ratio        d(x, its nearest training volume t) / d(t, its nearest other training patient)
    suspect      ratio below the 1st percentile of the held-out real ones, or below all of them where there are
                 fewer than a hundred
    AuthPct      share of synthetic volumes that are farther from t than t from its nearest training volume, in %;
                 50 is about what real volumes have, low values are copies
    C_T          z of the Mann-Whitney test of d(synthetic, train) against d(held-out, train); below about -3
                 the synthetic volumes lie nearer to the training data than real ones do
    correlation  Pearson's, of windowed thumbnails of the two volumes: a second look with other eyes, since
                 features forget where things are

Distances are of one feature vector a volume, brought to unit variance on the training set, of which the
principal components of 95 % of the variance, at most 64, are kept. Volumes of one patient are never
each other's neighbours. Known diagnostics miss copies that were turned or cut; none found is no proof.

Source: Alaa et al., arXiv:2102.08921 (AuthPct; the form of Stein et al., arXiv:2306.04675); Meehan et al.,
arXiv:2004.05675 (C_T, here in one cell).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import ndimage, stats
from scipy.spatial.distance import cdist

from medsyn2.ct.intensity import apply_window

COMPONENTS = 64
VARIANCE = 0.95
THUMBNAIL = 64
NULL_PERCENTILE = 1.0


@dataclass(frozen=True)
class Points:
    """One feature vector a volume.

    Attributes:
        features: A row a volume.
        patients: Whose each is.
    """

    features: Float[np.ndarray, "v f"]
    patients: tuple[str, ...]


@dataclass(frozen=True)
class Nearest:
    """The nearest training volume of each of some volumes.

    Attributes:
        index: Its position in the training set.
        distance: Distance to it.
        ratio: That distance over the one from the training volume to its own nearest other patient.
    """

    index: Int[np.ndarray, " v"]
    distance: Float[np.ndarray, " v"]
    ratio: Float[np.ndarray, " v"]


@dataclass(frozen=True)
class Memorisation:
    """What a set of synthetic volumes has of the training set.

    Attributes:
        synthetic: Nearest training volume of each synthetic one.
        held_out: Of each held-out real one: the null.
        threshold: Ratio below which a synthetic volume is suspect.
        authenticity: AuthPct of the synthetic volumes.
        held_out_authenticity: The same of the held-out real ones.
        copying_z: C_T.
    """

    synthetic: Nearest
    held_out: Nearest
    threshold: float
    authenticity: float
    held_out_authenticity: float
    copying_z: float

    @property
    def suspect(self) -> Bool[np.ndarray, " v"]:
        """Which synthetic volumes are nearer to a training volume than real ones are."""
        return self.synthetic.ratio < self.threshold


def memorisation(train: Points, held_out: Points, synthetic: Points) -> Memorisation:
    """Look for copies of training volumes.

    Args:
        train: Volumes the generator was trained with, of three patients or more.
        held_out: Real volumes of other patients.
        synthetic: Generated volumes; their patients do not matter.

    Raises:
        ValueError: If there are too few volumes, or a patient is both in training and held out.
    """
    if len(set(train.patients)) < 3 or len(held_out.patients) < 2 or not len(synthetic.features):
        raise ValueError("memorisation needs three training patients, two held-out and one synthetic volume")
    shared = set(train.patients) & set(held_out.patients)
    if shared:
        raise ValueError(f"{sorted(shared)[:3]} are both in training and held out")
    places = _projected(train.features, held_out.features, synthetic.features)
    patients = np.array(train.patients)
    within = cdist(places[0], places[0])
    within[patients[:, None] == patients[None]] = np.inf
    own = within.min(axis=1)
    null, found = (_nearest(cdist(one, places[0]), own) for one in places[1:])
    return Memorisation(
        found,
        null,
        float(np.percentile(null.ratio, NULL_PERCENTILE, method="lower")),
        _authenticity(found),
        _authenticity(null),
        _mann_whitney_z(found.distance, null.distance),
    )


def thumbnail(hu: Num[np.ndarray, "d h w"], window_hu: tuple[float, float]) -> Float[np.ndarray, "n n n"]:
    """Return a volume in one window on 64 voxels an axis, float32: block means, then linear interpolation."""
    unit = apply_window(hu, window_hu)
    factors = [max(axis // THUMBNAIL, 1) for axis in unit.shape]
    for axis, factor in enumerate(factors):
        if factor > 1:
            unit = ndimage.uniform_filter1d(unit, factor, axis=axis)
    zoom = [THUMBNAIL / axis for axis in unit.shape]
    return ndimage.zoom(unit, zoom, order=1, grid_mode=True, mode="nearest").astype(np.float32)


def correlation(first: Float[np.ndarray, "n n n"], second: Float[np.ndarray, "n n n"]) -> float:
    """Return Pearson's correlation of two thumbnails; 0 if one is constant."""
    x, y = (one.ravel().astype(np.float64) - one.mean(dtype=np.float64) for one in (first, second))
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / scale) if scale > 0 else 0.0


def _projected(
    train: Float[np.ndarray, "v f"], *others: Float[np.ndarray, "_ f"]
) -> list[Float[np.ndarray, "_ p"]]:
    """Standardise by the training set and keep its leading components."""
    reference = np.asarray(train, dtype=np.float64)
    mean, scale = reference.mean(axis=0), reference.std(axis=0)
    scale[scale == 0] = np.inf  # a feature that never varies says nothing
    _, singular, axes = np.linalg.svd((reference - mean) / scale, full_matrices=False)
    share = np.cumsum(singular**2) / np.sum(singular**2)
    kept = min(int(np.searchsorted(share, VARIANCE)) + 1, COMPONENTS)
    return [((np.asarray(one, dtype=np.float64) - mean) / scale) @ axes[:kept].T for one in (train, *others)]


def _nearest(distances: Float[np.ndarray, "v t"], own: Float[np.ndarray, " t"]) -> Nearest:
    index = distances.argmin(axis=1)
    distance = distances[np.arange(len(index)), index]
    return Nearest(index, distance, distance / np.maximum(own[index], np.finfo(float).tiny))


def _authenticity(nearest: Nearest) -> float:
    return float(100 * np.mean(nearest.ratio > 1))


def _mann_whitney_z(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    n, m = len(first), len(second)
    statistic = stats.mannwhitneyu(first, second, alternative="two-sided", method="asymptotic").statistic
    return float((statistic - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
