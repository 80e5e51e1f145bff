"""The training split as earlier stages left it: cases with latents and text, and the networks that made those."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsyn2.errors import ConfigError, WeightsError
from medsyn2.facts import ChannelSums, LatentOrigin, LatentsFacts, LatentSums, TextFacts
from medsyn2.store.artefacts import Manifest, load_manifest
from medsyn2.training.dit.conditions import TrainingCase
from medsyn2.vocabulary import STRUCTURES, Structure
from medsyn2.weights.model_folder import ChannelStatistics

_SMALLEST_STD = 1e-6


def channel_statistics(sums: Iterable[ChannelSums], *, subject: str) -> ChannelStatistics | None:
    """Return mean and standard deviation of each latent channel, from the sums in each case's record.

    The tokenizer's latents have large means and unequal spreads (the weight of its divergence is tiny), so that the
    transformer sees them normalised by channel. The statistics are the whole split's: a single volume's could not be
    inverted for a volume yet to be sampled.

    Returns:
        The statistics, or None if there is nothing in the sums.

    Raises:
        WeightsError: If a channel is constant, which no trained tokenizer gives.
    """
    used = [case for case in sums if case.count]
    if not used:
        return None
    count = sum(case.count for case in used)
    means, deviations = [], []
    for channel in range(len(used[0].sum)):
        mean = math.fsum(case.sum[channel] for case in used) / count
        square = math.fsum(case.sum_of_squares[channel] for case in used) / count
        means.append(mean)
        deviations.append(math.sqrt(max(0.0, square - mean**2)))
    if min(deviations) < _SMALLEST_STD:
        raise WeightsError(
            f"Expected {subject} latents that differ from voxel to voxel, got the standard deviations "
            f"{deviations} of the channels.",
            code="latents-constant",
            remedy="the tokenizer has not learned anything; look at its losses and train it longer.",
        )
    return ChannelStatistics(tuple(means), tuple(deviations))


@dataclass(frozen=True)
class Split:
    """The cases a transformer is trained on."""

    cases: Sequence[TrainingCase]  # In the cohort's order
    image: ChannelStatistics  # Statistics of image latents
    # Statistics of the latents of non-empty masks; mean 0 and standard deviation 1 if there are none
    mask: ChannelStatistics
    masks: Mapping[Structure, ChannelStatistics]  # The same for each structure that has a mask
    latents: LatentOrigin  # How the latents were made, as their records say
    encoder: Mapping[str, str]  # Which text encoder the reports' embeddings were made with, as their records say
    max_report_tokens: int  # Tokens of a report that were kept
    made_from: Any  # JSON values that change if any latent or embedding does
    digests: Mapping[Path, str]  # sha256 of each of their files, as the records say


def load_split(latents: Sequence[Path], text: Sequence[Path]) -> Split:
    """Join the latents and the reports' embeddings of every training case that has both records.

    Raises:
        ConfigError: If the shards are not the same, if there is no training case, or if the shards were made
            with different networks.
    """
    if [path.stem for path in latents] != [path.stem for path in text]:
        raise ConfigError(
            f"Expected latents and text of the same shards, got {[path.stem for path in latents]} and "
            f"{[path.stem for path in text]}.",
            code="shards-differ",
            remedy="give the manifests of both stages in the same order.",
        )
    cases: list[TrainingCase] = []
    sums: list[LatentSums] = []
    made_from: list[Any] = []
    digests: dict[Path, str] = {}
    origins: list[LatentOrigin] = []
    texts: list[tuple[Mapping[str, str], int]] = []
    for latent_path, text_path in zip(latents, text, strict=True):
        encoded, reports = load_manifest(latent_path, LatentsFacts), load_manifest(text_path, TextFacts)
        digests |= {**encoded.digests, **reports.digests}
        for case, record in encoded.records.items():
            if case not in reports.records or record.facts.split != "train":
                continue
            report = reports.records[case]
            cases.append(_case(case, encoded, reports if report.facts.has_report else None))
            origins.append(record.facts.origin)
            if report.facts.has_report:
                texts.append((report.facts.encoder, report.facts.max_tokens))
            sums.append(record.facts.sums)
            made_from.append([case, record.files, report.files])
    _check(cases, origins, texts)
    image = channel_statistics([case.image for case in sums], subject="image")
    mask = channel_statistics([one for case in sums for one in case.masks.values()], subject="mask")
    assert image is not None
    channels = len(image.mean)
    encoder, max_report_tokens = texts[0] if texts else ({}, 0)
    return Split(
        cases,
        image,
        mask or ChannelStatistics((0.0,) * channels, (1.0,) * channels),
        _by_structure(sums),
        origins[0],
        encoder,
        max_report_tokens,
        made_from,
        digests,
    )


def _by_structure(sums: Sequence[LatentSums]) -> dict[Structure, ChannelStatistics]:
    found = {
        name: channel_statistics([case.masks[name] for case in sums if name in case.masks], subject=f"{name} mask")
        for name in STRUCTURES
    }
    return {name: statistics for name, statistics in found.items() if statistics is not None}


def _case(case: str, latents: Manifest[LatentsFacts], reports: Manifest[TextFacts] | None) -> TrainingCase:
    states = latents.records[case].facts.masks
    present, empty = (tuple(name for name in STRUCTURES if states[name] == state) for state in ("present", "empty"))
    report = None if reports is None else reports.folder / case
    return TrainingCase(case, latents.folder / case, report, present, empty)


def _check(
    cases: Sequence[TrainingCase], origins: Sequence[LatentOrigin], texts: Sequence[tuple[Mapping[str, str], int]]
) -> None:
    if not cases:
        raise ConfigError(
            "Expected at least one case of the training split with latents and text, got none.",
            code="no-training-cases",
            remedy="look at the quarantine of the stages before, or raise cohort.test_every.",
        )
    for kind, found in (("latents", origins), ("text", texts)):
        if any(other != found[0] for other in found):
            raise ConfigError(
                f"The {kind} of the shards were made with different networks or settings.",
                code="shards-differ",
                remedy="run the workflow, which brings all shards to the same state.",
            )
