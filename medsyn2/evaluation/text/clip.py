"""Scores of embeddings from a vision-language model: the paper's Table 2.

The model never runs here. A script of its own environment writes banks (see `banks`) with one row a volume or report in
the part ``embedding``; ids pair a volume with its report and a synthetic volume with the real one of its case.

    T2I   100 x the mean cosine of a volume and its report
    I2I   100 x the mean cosine of a synthetic volume and the real one of its case

Neither measures realism: real volumes are not at the top of T2I, and any two chests have a high cosine. Each score is
therefore given with that of pairs of different patients (``shuffled``), the difference of the two, its z against
permutations of the patients, and the share of volumes whose own partner is among the k nearest (``recall``), all with
intervals over patients. The ceiling is the rows of real volumes, as acquired and on the model's grid.

Reports can be equal word for word, and then no model can tell them apart. A partner tied with t - 1 others, behind a
nearer ones, is among the first k in min(1, max(0, (k - a) / t)) of the orders of the tied; the recall counts this
expectation, so that identical partners give chance, k / n. With n <= k candidates the recall is NaN.

Source: Hessel et al., arXiv:2104.08718, without its clipping at 0 and its factor 2.5, as CT-CLIP's scripts do.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank
from medsyn2.evaluation.statistics.intervals import MIN_PATIENTS, Interval, interval, mean_interval, share_interval

EMBEDDING = "embedding"
RECALLS = (1, 5, 10, 50)
_PERMUTATIONS = 200
_TIE = 1e-4
"""Scores this near are equal: float32 embeddings of one text differ by as much from batch to batch."""


@dataclass(frozen=True)
class Recall:
    """Share of volumes whose own partner is among the k nearest."""

    share: float  # The share; ties count by their expectation. NaN unless there are more than k candidates.
    low: float  # Lower end of its 95 % interval, exact over as many patients, with fixed candidates
    high: float  # Upper end
    chance: float  # Share for uninformative embeddings, k / candidates


@dataclass(frozen=True)
class PairScore:
    """Cosines of volumes with their own partners, and with others'."""

    score: float  # 100 x the mean cosine of the pairs
    score_low: float  # Lower end of its 95 % interval over patients; NaN with fewer than five
    score_high: float  # Upper end
    shuffled: float  # The same of all pairs of different patients; NaN with one patient
    above_shuffled: float  # The score minus `shuffled`
    above_shuffled_low: float  # Lower end of its interval
    above_shuffled_high: float  # Upper end
    # Mean over patients minus that over permutations of their partners, in standard deviations; NaN if all are alike
    z: float
    recall: dict[int, Recall]  # By k
    num_pairs: int  # Pairs, and so the candidates of the recall
    num_patients: int  # Their patients


def pair_score(volumes: Bank, partners: Bank, *, seed: int) -> PairScore:
    """Score volumes against their partners of the same id: reports, or real volumes.

    Args:
        seed: Seed of the permutations.

    Raises:
        EnvironmentFault: If the embeddings are of two models, or fewer than two ids are in both.
    """
    cosines, owners = _cosines(volumes, partners)
    patients = np.unique(owners, return_inverse=True)[1]
    own = np.diagonal(cosines)
    fit, influence = _above_shuffled(cosines, owners)
    num_patients = int(patients.max()) + 1
    return PairScore(
        float(own.mean()),
        *mean_interval(pd.Series(own), pd.Series(owners)),
        float(own.mean()) - fit,
        fit,
        *interval(fit, influence),
        _z(cosines, patients, np.random.default_rng(seed)),
        {k: _recall(cosines, k, num_patients) for k in RECALLS},
        len(own),
        num_patients,
    )


@dataclass(frozen=True)
class FitDifference:
    """How much better volumes fit their partners than real volumes of the same cases do."""

    value: float  # `above_shuffled` minus that of the real volumes; NaN with one patient
    ends: Interval  # Its 95 % interval over patients
    adjusted: Interval  # The interval at the level of the family
    real: Interval  # 95 % interval of the real volumes' `above_shuffled`


def fit_difference(volumes: Bank, real: Bank, partners: Bank, *, level: float) -> FitDifference:
    """Compare the scores of volumes above shuffled pairs with those of the real volumes of the same ids.

    Args:
        level: Coverage of the adjusted interval.
    """
    both = set(volumes.ids) & set(real.ids)
    (fit, influence), others = (_above_shuffled(*_cosines(one, partners, both)) for one in (volumes, real))
    apart = fit - others[0], influence - others[1]
    return FitDifference(apart[0], interval(*apart), interval(*apart, level=level), interval(*others))


def label_probabilities(
    volumes: Bank, prompts: Bank, labels: tuple[str, ...], *, scale: float
) -> Float[np.ndarray, "v k"]:
    """Return the zero-shot probability of each label: the softmax of the cosines to two prompts.

    Args:
        prompts: Embeddings of prompts with the ids ``<label>/present`` and ``<label>/absent``.
        scale: Factor of the cosines (CT-CLIP: exp of its temperature).

    Raises:
        EnvironmentFault: If a prompt is missing, or the embeddings are of two models.
    """
    _refuse_two_models(volumes, prompts)
    place = {name: index for index, name in enumerate(prompts.ids)}
    wanted = [f"{label}/{state}" for state in ("present", "absent") for label in labels]
    missing = [name for name in wanted if name not in place]
    if missing:
        raise EnvironmentFault(
            f"{prompts.facts.source} has no {missing[0]!r} and {len(missing) - 1} other prompts.",
            code="prompts-missing",
            remedy="embed two prompts a label with the ids <label>/present and <label>/absent.",
        )
    cosines = _unit_rows(volumes) @ _unit_rows(prompts)[[place[name] for name in wanted]].T
    present, absent = cosines[:, : len(labels)], cosines[:, len(labels) :]
    return 1 / (1 + np.exp(-scale * (present - absent)))


def _cosines(
    volumes: Bank, partners: Bank, among: Collection[str] | None = None
) -> tuple[Float[np.ndarray, "n n"], Shaped[np.ndarray, " n"]]:
    """Return 100 x the cosines of all pairs, own partners on the diagonal, and the patient of each volume.

    Args:
        among: Ids to take; None takes all that both have.
    """
    first, second = (_unit_rows(bank) for bank in (volumes, partners))
    _refuse_two_models(volumes, partners)
    place = {name: index for index, name in enumerate(partners.ids) if among is None or name in among}
    shared = [(index, place[name]) for index, name in enumerate(volumes.ids) if name in place]
    if len(shared) < 2:
        raise EnvironmentFault(
            f"{len(shared)} ids of {volumes.facts.source} are also in {partners.facts.source}, expected two or more.",
            code="pairs-missing",
            remedy="write both banks with the ids of the cases.",
        )
    mine, theirs = (np.array(one) for one in zip(*shared, strict=True))
    return 100 * first[mine] @ second[theirs].T, np.array(volumes.patients)[mine]


def _above_shuffled(cosines: Float[np.ndarray, "n n"], owners: Shaped[np.ndarray, " n"]) -> tuple[float, pd.Series]:
    """Return the mean of the pairs minus the mean of pairs of different patients, and each patient's influence on it.

    NaN and no influence with one patient.
    """
    names, patient = np.unique(owners, return_inverse=True)
    if len(names) < 2:
        return nan, pd.Series(dtype=float)
    member = np.eye(len(names))[:, patient]
    own, num = member @ np.diagonal(cosines), member.sum(axis=1)
    pairs, num_pairs = (member @ one @ member.T for one in (cosines, np.ones_like(cosines)))
    for sums in (pairs, num_pairs):
        np.fill_diagonal(sums, 0.0)
    # Without each patient: his own pairs, and those with all others on both sides.
    left = [one.sum() - one.sum(axis=0) - one.sum(axis=1) for one in (pairs, num_pairs)]
    value = own.sum() / num.sum() - pairs.sum() / num_pairs.sum()
    if len(names) < MIN_PATIENTS:
        return float(value), pd.Series(np.nan, names)
    without = (own.sum() - own) / (num.sum() - num) - left[0] / left[1]
    return float(value), pd.Series((len(names) - 1) / len(names) * (value - without), names)


def _z(cosines: Float[np.ndarray, "n n"], patients: Int[np.ndarray, " n"], rng: np.random.Generator) -> float:
    """Return the z of the mean over patients against patients with the partners of others.

    Volumes of one patient are alike, so that partners are exchanged patient by patient.
    """
    counts = np.bincount(patients)
    member = np.zeros((len(counts), len(patients)))
    member[patients, np.arange(len(patients))] = 1 / counts[patients]
    between = member @ cosines @ member.T
    rows = np.arange(len(between))
    permuted = [between[rows, rng.permutation(rows)].mean() for _ in range(_PERMUTATIONS)]
    spread = float(np.std(permuted))
    if spread <= _TIE / len(rows):
        return nan
    return float((np.diagonal(between).mean() - np.mean(permuted)) / spread)


def _recall(cosines: Float[np.ndarray, "n n"], k: int, num_patients: int) -> Recall:
    if k >= len(cosines):
        return Recall(nan, nan, nan, nan)
    above = cosines - np.diagonal(cosines)[:, None]
    nearer, tied = (above > _TIE).sum(axis=1), (np.abs(above) <= _TIE).sum(axis=1)
    share = float(np.clip((k - nearer) / tied, 0, 1).mean())
    low, high = share_interval(100 * share, num_patients)
    return Recall(share, low / 100, high / 100, k / len(cosines))


def _refuse_two_models(first: Bank, second: Bank) -> None:
    mine, theirs = (
        (bank.facts.extractor, bank.facts.extractor_sha256, bank.parts[EMBEDDING].features.shape[1])
        for bank in (first, second)
    )
    if mine != theirs:
        raise EnvironmentFault(
            f"embeddings of {first.facts.source} are by {mine}, those of {second.facts.source} by {theirs}.",
            code="banks-differ",
            remedy="embed both with one model and one set of weights.",
        )


def _unit_rows(bank: Bank) -> Float[np.ndarray, "v f"]:
    if EMBEDDING not in bank.parts:
        raise EnvironmentFault(
            f"the bank of {bank.facts.source} has the parts {sorted(bank.parts)}, expected {EMBEDDING!r}.",
            code="bank-invalid",
            remedy=f"write one row a volume or report under the name {EMBEDDING!r}.",
        )
    rows = bank.volume_means(EMBEDDING)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
