"""Volumes by themselves: which share of a set lies outside the range of the real volumes, index by index.

Beside the indices of `features.indices`, four are of the thumbnail, a volume's 32 x 32 x 32 voxels in the lung window:

    upright, facing, sided  what differs between it and its flip, upside down, front to back or left to right,
                            correlated with what differs between the mean real thumbnail and its flip: below 0 it lies
                            the other way round
    symmetry                its greatest correlation with its own mirror image, left to right

*Range.* The limits of an index are those within which the value of a further patient lies with 99.8 %, were the values
of patients normal: mean +- t s (1 + 1 / n)^(1/2), on a scale on which they nearly are, logarithmic for positive values
and atanh for a correlation. Real volumes are judged by the limits of the other patients, and seen by the mean thumbnail
of the others, so that the share of real volumes outside says how far the limits can be trusted; synthetic ones by those
of all. A patient with several volumes counts once.

*Flags.* Two exact tests over patients compare synthetic with real: Fisher's the patients with most of their volumes
outside, and the rank test of Mann and Whitney the values, which sees a set that is shifted within the range. Each p is
multiplied by the number of tests of a set, which are one family, so that at most one perfect generator in twenty has
any flag. With five patients on a side there is none at all: then read the shares.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import ndimage, stats

from medsyn2.evaluation.features.extraction import FeatureFiles
from medsyn2.evaluation.features.indices import INDICES, read_indices
from medsyn2.evaluation.features.protocols import Protocol
from medsyn2.evaluation.features.sizes import THUMBNAIL
from medsyn2.evaluation.features.thumbnails import read_thumbnail
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.facts import REAL

FLIPS = {"upright": 0, "facing": 1, "sided": 2}
"""Axis of the thumbnail that is flipped for each of these indices."""

ALL_INDICES = (*INDICES, *FLIPS, "symmetry")
CASE_COLUMNS = ["case", "patient", "source", *ALL_INDICES, "outside"]
COLUMNS = [
    "index", "source", "outside_percent", "num_outside", "num_volumes", "num_patients", "least", "median", "greatest",
    "limit_low", "limit_high", "p_outside", "p_shifted", "flag",
]  # fmt: skip

LEVEL = 0.998
"""Share of further patients within the limits: 2 % of real ones are outside some index, were they normal."""
MIN_PATIENTS = 3
"""Patients without whom a range is no range."""
FAMILY_LEVEL = 0.05
_MOVES = range(-3, 4)
"""Voxels of the thumbnail by which a mirror image is moved, 3 % of the width each: bodies are not centred."""
_LEAST = 1e-9
"""In the place of nothing where a logarithm is taken, and the distance of a correlation from 1."""
_ROUNDING = 1e-9
_MOST = 0.5
"""Share of a patient's volumes beyond which he counts as outside."""
FLAGS = ("outside the range of real volumes", "shifted")

Thumbnail = Float[np.ndarray, " n"]
Cube = Float[np.ndarray, "d h w"]


class UsualPlaces:
    """The mean real thumbnail that the volumes of a patient are compared with: that of all other patients."""

    def __init__(self, real: Sequence[VolumeFile], cache: Path) -> None:
        self._of_patient: dict[str, Cube] = {}
        for patient, volumes in groupby(sorted(real, key=lambda one: one.patient), key=lambda one: one.patient):
            self._of_patient[patient] = np.mean([align(read_thumbnail(one, cache))[0] for one in volumes], axis=0)
        self._sum: Cube = np.stack(list(self._of_patient.values())).sum(axis=0, dtype=np.float64)

    def of(self, patient: str) -> Cube:
        """Return the mean but for a factor; NaN without another patient."""
        own = self._of_patient.get(patient)
        others = self._sum if own is None else self._sum - own
        has_others = len(self._of_patient) > (own is not None)
        return others if has_others else np.full_like(others, nan)


def place_indices(aligned: tuple[Cube, float], usual: Cube) -> dict[str, float]:
    """Return the indices of a thumbnail that `align` aligned, beside the mean of other patients'."""
    own, symmetry = aligned
    found = {name: _correlation(own - np.flip(own, axis), usual - np.flip(usual, axis)) for name, axis in FLIPS.items()}
    return {**found, "symmetry": symmetry}


def align(thumbnail: Thumbnail) -> tuple[Cube, float]:
    """Return a thumbnail with its plane of symmetry in the middle, and the correlation of its halves."""
    own = thumbnail.reshape((THUMBNAIL,) * 3)
    mirror = np.flip(own, 2)
    likeness = {move: _correlation(_cut(own, move), _cut(mirror, -move)) for move in _MOVES}
    best = max(likeness, key=lambda move: likeness[move])
    return ndimage.shift(own, (0, 0, -best / 2), order=1, mode="nearest"), likeness[best]


def _cut(cube: Float[np.ndarray, "d h w"], move: int) -> Float[np.ndarray, "d h v"]:
    """Return the part of a cube that another one, moved by so many voxels, lies beside."""
    return cube[..., max(0, move) : THUMBNAIL + min(0, move)]


def _correlation(one: Float[np.ndarray, "d h w"], other: Float[np.ndarray, "d h w"]) -> float:
    one, other = one - one.mean(), other - other.mean()
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return 0.0 if norm == 0 else float(np.sum(one * other)) / norm  # what is exactly symmetrical lies neither way


def judge_sets(
    comparisons: Sequence[tuple[FeatureFiles, Sequence[FeatureFiles]]], cache: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge sets of volumes, by real ones in the same range of HU; the real ones of the first stand for all.

    Args:
        comparisons: Real volumes, and the sets that are compared with them.

    Returns:
        The tables of `judge_indices`.
    """
    tables: list[pd.DataFrame] = []
    cases: list[pd.DataFrame] = []
    for real, sources in comparisons:
        usual, protocol = UsualPlaces(real.volumes, cache), real.spec.protocol
        sets = {REAL: real.volumes, **{one.facts["source"]: one.volumes for one in sources}}
        seen = [describe(name, volumes, usual, protocol, cache) for name, volumes in sets.items()]
        table, judged = judge_indices(pd.concat(seen, ignore_index=True))
        for frames, frame in ((tables, table), (cases, judged)):
            frames.append(frame[frame["source"] != REAL] if frames else frame)
    order = {name: place for place, name in enumerate(ALL_INDICES)}
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values("index", key=lambda names: names.map(order), kind="stable"), pd.concat(cases)


def describe(
    source: str, volumes: Sequence[VolumeFile], usual: UsualPlaces, protocol: Protocol, cache: Path
) -> pd.DataFrame:
    """Return a row a volume: ``case``, ``patient``, ``source`` and `ALL_INDICES`; the cache is filled."""
    rows = [
        {
            "case": one.id,
            "patient": one.patient,
            "source": source,
            **read_indices(one, protocol, cache),
            **place_indices(align(read_thumbnail(one, cache)), usual.of(one.patient)),
        }
        for one in volumes
    ]
    return pd.DataFrame(rows, columns=CASE_COLUMNS[:-1])


def judge_indices(cases: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge volumes by the range of the real ones among them.

    Args:
        cases: Rows of `describe`, of which some are real.

    Returns:
        The columns `COLUMNS`, a row for each index and source, the real one first; and `cases` with the names of the
        indices by which a volume is outside.
    """
    marks: dict[str, pd.Series] = {}
    rows: list[dict[str, object]] = []
    for name in ALL_INDICES:
        judged = _Judged.of(cases, name)
        marks[name] = judged.outside
        rows += judged.rows()
    names = [[name for name in ALL_INDICES if marks[name].iloc[place]] for place in range(len(cases))]
    return pd.DataFrame(rows, columns=COLUMNS), cases.assign(outside=["; ".join(one) for one in names])


@dataclass(frozen=True)
class _Judged:
    """One index of all volumes."""

    name: str
    values: pd.Series  # As measured, by position
    scaled: pd.Series  # On the scale on which limits are taken
    sources: pd.Series  # The set of each volume
    patients: pd.Series  # The patient of each volume
    limits: tuple[float, float]  # Of a further volume
    outside: pd.Series  # Whether each volume is

    @classmethod
    def of(cls, cases: pd.DataFrame, name: str) -> "_Judged":
        """Judge one index."""
        sources, patients, values = (cases[column] for column in ("source", "patient", name))
        scaled, is_real = pd.Series(_scale(name, values.to_numpy(float)), cases.index), sources == REAL
        real = scaled[is_real].groupby(patients[is_real]).mean().dropna()
        whole, others = _limits(real.to_numpy()), _limits_of_others(real.to_numpy())
        outside = pd.Series(False, cases.index)
        for end, sign in ((0, -1), (1, 1)):
            limit = patients.map(pd.Series(others[end], real.index)).where(is_real, whole[end])
            outside |= sign * (scaled - limit) > _ROUNDING
        low, high = (float(_unscale(name, end)) for end in whole)
        return cls(name, values, scaled, sources, patients, (low, high), outside)

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield a row a source."""
        real = self._shares(REAL)
        for source in sorted(set(self.sources), key=lambda one: (one != REAL, one)):
            shares, values = self._shares(source), self.values[self.sources == source].dropna()
            tests = [nan, nan] if source == REAL else [_p_outside(shares, real), self._p_shifted(source)]
            yield {
                "index": self.name,
                "source": source,
                "outside_percent": 100 * float(shares.mean()),
                "num_outside": int(self.outside[values.index].sum()),
                "num_volumes": len(values),
                "num_patients": len(shares),
                "least": values.min(),
                "median": values.median(),
                "greatest": values.max(),
                "limit_low": self.limits[0],
                "limit_high": self.limits[1],
                "p_outside": tests[0],
                "p_shifted": tests[1],
                "flag": "; ".join(words for words, p in zip(FLAGS, tests, strict=True) if p <= FAMILY_LEVEL),
            }

    def _p_shifted(self, source: str) -> float:
        """Return Mann and Whitney's p of other values than the real ones, adjusted."""
        means = self.scaled.dropna().groupby([self.sources, self.patients]).mean()
        both = [means[means.index.get_level_values(0) == one].to_numpy() for one in (source, REAL)]
        return _adjust(float(stats.mannwhitneyu(*both).pvalue)) if min(map(len, both)) else nan

    def _shares(self, source: str) -> pd.Series:
        """Return the share of each patient's volumes that are outside; empty where there is no range."""
        chosen = (self.sources == source) & self.values.notna() & bool(np.isfinite(self.limits[0]))
        return self.outside[chosen].groupby(self.patients[chosen]).mean()


def _adjust(p: float) -> float:
    """Return p times the number of tests of a set."""
    return min(1.0, len(FLAGS) * len(ALL_INDICES) * p)


def _p_outside(shares: pd.Series, real: pd.Series) -> float:
    """Return Fisher's p of more patients outside than among real ones, adjusted."""
    if not (len(shares) and len(real)):
        return nan
    outside = [int((one > _MOST).sum()) for one in (shares, real)]
    return _adjust(float(stats.hypergeom.sf(outside[0] - 1, len(shares) + len(real), sum(outside), len(shares))))


def _limits(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the limits of a further value; NaN with fewer than three."""
    if len(values) < MIN_PATIENTS:
        return nan, nan
    half = _quantile(len(values)) * float(values.std(ddof=1))
    return float(values.mean()) - half, float(values.mean()) + half


def _limits_of_others(values: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return for each value the limits by all others."""
    num = len(values) - 1
    if num < MIN_PATIENTS:
        return np.full(len(values), nan), np.full(len(values), nan)
    means = (values.sum() - values) / num
    # What a value adds to the sum of squares about the mean of all is n / (n - 1) of its own square.
    squares = ((values - values.mean()) ** 2).sum() - (values - values.mean()) ** 2 * (num + 1) / num
    half = _quantile(num) * np.sqrt(np.clip(squares, 0, None) / (num - 1))
    return means - half, means + half


def _quantile(num: int) -> float:
    """Return the standard deviations from the mean of so many values within which a further one lies."""
    return float(stats.t.ppf((1 + LEVEL) / 2, num - 1)) * (1 + 1 / num) ** 0.5


def _scale(name: str, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return values on the scale on which an index is nearly normal."""
    if name in (*FLIPS, "symmetry"):
        return np.arctanh(np.clip(values, _LEAST - 1, 1 - _LEAST))
    return np.log(np.maximum(values, _LEAST))


def _unscale(name: str, value: float) -> float:
    return float(np.tanh(value)) if name in (*FLIPS, "symmetry") else float(np.exp(value))
