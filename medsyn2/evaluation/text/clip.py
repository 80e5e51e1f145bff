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

from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank
from medsyn2.evaluation.statistics.intervals import (
    NONE,
    Interval,
    interval,
    mean_influence,
    mean_interval,
    share_interval,
)

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
    first, second = (_unit_rows(bank) for bank in (volumes, partners))
    _refuse_two_models(volumes, partners)
    place = {name: index for index, name in enumerate(partners.ids)}
    shared = [(index, place[name]) for index, name in enumerate(volumes.ids) if name in place]
    if len(shared) < 2:
        raise EnvironmentFault(
            f"{len(shared)} ids of {volumes.facts.source} are also in {partners.facts.source}, expected two or more.",
            code="pairs-missing",
            remedy="write both banks with the ids of the cases.",
        )
    mine, theirs = (np.array(one) for one in zip(*shared, strict=True))
    cosines = 100 * first[mine] @ second[theirs].T
    patients = np.unique(np.array(volumes.patients)[mine], return_inverse=True)[1]
    own = np.diagonal(cosines)
    others = cosines[patients[:, None] != patients[None]]
    shuffled = float(others.mean()) if others.size else nan
    num_patients = int(patients.max()) + 1
    return PairScore(
        float(own.mean()),
        *mean_interval(pd.Series(own), pd.Series(patients)),
        shuffled,
        float(own.mean()) - shuffled,
        *_above_shuffled(cosines, patients),
        _z(cosines, patients, np.random.default_rng(seed)),
        {k: _recall(cosines, k, num_patients) for k in RECALLS},
        len(own),
        num_patients,
    )


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


def _above_shuffled(cosines: Float[np.ndarray, "n n"], patients: Int[np.ndarray, " n"]) -> Interval:
    """Return the interval of the mean of the pairs minus the mean of pairs of different patients."""
    owners = pd.Series(patients)
    rows, columns = np.nonzero(patients[:, None] != patients[None])
    if not len(rows):
        return NONE
    own, others = pd.Series(np.diagonal(cosines)), pd.Series(cosines[rows, columns])
    influence = mean_influence(own, owners) - mean_influence(others, owners[rows], owners[columns])
    return interval(float(own.mean() - others.mean()), influence)


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
