"""Scores of embeddings that a vision-language model made in an environment of its own: the paper's Table 2.

The model never runs here. Somebody's script writes banks (see `banks`) with one row a volume, or a report, in the
part ``embedding``; ids pair a volume with its report and a synthetic volume with the real one of its case.

    T2I   100 x the mean cosine of a volume and its report
    I2I   100 x the mean cosine of a synthetic volume and the real one of its case

Neither measures realism: real volumes are not at the top of T2I, and all chests are alike, so that any two have a
high cosine. Beside each score therefore stand the same over pairs of different patients (``shuffled``), its z
against permutations of the pairs, how often a volume's own partner is among the k nearest (``recall``), and an
interval over patients. The row of the real volumes is the ceiling, once as acquired and once on the model's grid.

Source: Hessel et al., arXiv:2104.08718, without its clipping at 0 and its factor 2.5, as CT-CLIP's scripts do.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Float

from medsyn2.errors import EnvironmentFault
from medsyn2.metrics.banks import Bank
from medsyn2.metrics.bootstrap import mean_interval

EMBEDDING = "embedding"
RECALLS = (1, 5, 10, 50)
_PERMUTATIONS = 200


@dataclass(frozen=True)
class PairScore:
    """How much closer a volume is to its own partner than to others'.

    Attributes:
        score: 100 x the mean cosine of the pairs.
        low: Lower end of its 95 % interval, by resampling patients.
        high: Upper end.
        shuffled: The same of all pairs of different patients.
        z: Score minus the mean over permutations of the partners, in their standard deviations.
        recall: Share of volumes whose partner is among the k nearest, by k.
        num: Pairs.
    """

    score: float
    low: float
    high: float
    shuffled: float
    z: float
    recall: dict[int, float]
    num: int


def pair_score(volumes: Bank, partners: Bank, *, num_draws: int, seed: int) -> PairScore:
    """Score volumes against their partners of the same id: reports, or real volumes.

    Args:
        volumes: Embeddings of volumes.
        partners: Embeddings of their reports, or of the real volumes of their cases.
        num_draws: Resamples of patients for the interval.
        seed: Of resamples and permutations.

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
    rng = np.random.default_rng(seed)
    low, high = mean_interval(own, patients, num_draws, rng)
    permuted = [cosines[np.arange(len(own)), rng.permutation(len(own))].mean() for _ in range(_PERMUTATIONS)]
    spread = float(np.std(permuted))
    rank = (cosines > own[:, None]).sum(axis=1)
    return PairScore(
        float(own.mean()),
        low,
        high,
        float(others.mean()) if others.size else nan,
        float((own.mean() - np.mean(permuted)) / spread) if spread > 0 else nan,
        {k: float(np.mean(rank < k)) for k in RECALLS},
        len(own),
    )


def label_probabilities(
    volumes: Bank, prompts: Bank, labels: tuple[str, ...], *, scale: float
) -> Float[np.ndarray, "v k"]:
    """Return the zero-shot probability of each label: the softmax of the cosines to two prompts.

    Args:
        volumes: Embeddings of volumes.
        prompts: Embeddings of prompts with the ids ``<label>/present`` and ``<label>/absent``.
        labels: The labels.
        scale: What the model multiplies cosines by (CT-CLIP's exp of its temperature).

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
