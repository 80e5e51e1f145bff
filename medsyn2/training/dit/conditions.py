"""The training samples of the diffusion transformer: latents with conditions drawn at random (section 3.3).

For each sample one of four modes is drawn: the report, a mask, both, or neither. In a mode with a mask one of
the case's structures whose mask is not empty is drawn, by the configured weights, and the pre-prompt says which
in one of five wordings; without a mask it says so in one of three, and the mask's latents are zeros after
normalisation. Without the report the text is the pre-prompt alone. A case that has no such mask, or no report,
is trained in the mode that remains: `mask` becomes `neither`, `both` becomes `report`, and so on.

Beyond the paper, a share of the masks may be *empty* ones, of a structure that the case was searched for and
does not have: only then does the network learn that an empty mask asks for none.

A structure that is left out of the training is left out of its cases: neither its masks nor empty ones in its name
are drawn, and a case that has no other mask is trained in the mode that remains.

All draws of a sample depend on the seed and its position alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medsyn2.errors import ConfigError
from medsyn2.integrity import verify
from medsyn2.nn.transformer.conditioning import Conditioning
from medsyn2.reports.prompts import ABSENT_WORDINGS, MASK_WORDINGS, prompt_id
from medsyn2.store.latents import EMPTY_MASK, LATENTS, Latents, read_empty_mask, read_image, read_mask
from medsyn2.store.text_embeddings import REPORT, Embeddings, read_report
from medsyn2.training.dit.mask_region import loss_weights, mask_region
from medsyn2.training.dit.objective import DiTBatch
from medsyn2.training.engine.array_cache import ArrayCache
from medsyn2.training.engine.draws import generator_of, item_of
from medsyn2.vocabulary import MODES, Mode, Structure
from medsyn2.weights.model_folder import ChannelStatistics

WITH_REPORT: frozenset[Mode] = frozenset({"report", "both"})
WITH_MASK: frozenset[Mode] = frozenset({"mask", "both"})


@dataclass(frozen=True)
class TrainingCase:
    """One case of the training split."""

    id: str  # The case's id
    latents: Path  # The folder its latents are in
    report: Path | None  # The folder the embeddings of its report are in; None if it has none
    structures: tuple[Structure, ...]  # Structures whose mask is there and not empty
    empty: tuple[Structure, ...] = ()  # Structures whose mask is there and empty


@dataclass(frozen=True)
class Sample:
    """The draw for one position of the training."""

    case: TrainingCase
    mode: Mode  # Which conditions are given, after what the case lacks was taken out
    structure: Structure | None  # What the mask is of; None without a mask
    prompt: str  # Id of the pre-prompt


def drop_conditions(case: TrainingCase, structures: Collection[Structure]) -> TrainingCase:
    """Return the case as if it had never been searched for `structures`; its report stays as it is."""
    present, empty = (
        tuple(name for name in names if name not in structures) for names in (case.structures, case.empty)
    )
    return replace(case, structures=present, empty=empty)


def possible_mode(mode: Mode, case: TrainingCase) -> Mode:
    """Return `mode` without conditions that `case` lacks."""
    report = mode in WITH_REPORT and case.report is not None
    mask = mode in WITH_MASK and bool(case.structures)
    if report:
        return "both" if mask else "report"
    return "mask" if mask else "neither"


def mode_probabilities(cases: Sequence[TrainingCase], probabilities: Sequence[float]) -> dict[Mode, float]:
    """Return how often each mode is trained, by the conditions that the cases have."""
    realised: dict[Mode, float] = dict.fromkeys(MODES, 0.0)
    for case in cases:
        for mode, probability in zip(MODES, probabilities, strict=True):
            realised[possible_mode(mode, case)] += probability / len(cases)
    return realised


class ConditionedLatents:
    """Latents with their conditions, as the training loop wants its data.

    Args:
        mask: Statistics of masks, except of the structures in
        masks: which have their own.
        probabilities: Of each mode, in the order of `medsyn2.vocabulary.MODES`.
        weights: How much more often than others a structure's mask is drawn; 1 where nothing is said.
        empty_share: Share of the masks that are empty ones, in cases that have any.
        loss_share: Share of the loss that is the mean inside the mask; see ``mask_region.py``.
        digests: The sha256 of each file of latents and embeddings, as its record says; the first reading of a file
            compares it.

    Raises:
        ConfigError: If there is no case.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        prompts: Mapping[str, Embeddings],
        *,
        image: ChannelStatistics,
        mask: ChannelStatistics,
        masks: Mapping[Structure, ChannelStatistics] = {},
        probabilities: Sequence[float],
        weights: Mapping[Structure, float],
        empty_share: float = 0.0,
        loss_share: float = 0.0,
        digests: Mapping[Path, str] = {},
        seed: int,
    ) -> None:
        if not cases:
            raise ConfigError(
                "Expected at least one case of the training split with latents and text, got none.",
                code="no-training-cases",
                remedy="look at the quarantine of the stages before, or raise cohort.test_every.",
            )
        self.cases, self.prompts = list(cases), prompts
        self.image, self.mask, self.masks, self.seed = image, mask, masks, seed
        self.probabilities = torch.tensor(probabilities, dtype=torch.float64)
        self.weights, self.empty_share, self.digests = weights, empty_share, digests
        self.loss_share = loss_share
        self._memory = ArrayCache()

    def draw(self, position: int) -> Sample:
        """Draw the sample at a position of the training."""
        case = self.cases[item_of(self.seed, position, len(self.cases))]
        generator = generator_of(self.seed, "condition", position)
        index = int(torch.multinomial(self.probabilities, 1, generator=generator))
        mode = possible_mode(MODES[index], case)
        if mode not in WITH_MASK:
            wording = _draw(len(ABSENT_WORDINGS), generator)
            return Sample(case, mode, None, prompt_id(None, wording))
        structure = self._structure(case, generator)
        return Sample(case, mode, structure, prompt_id(structure, _draw(len(MASK_WORDINGS), generator)))

    def _structure(self, case: TrainingCase, generator: torch.Generator) -> Structure:
        if case.empty and float(torch.rand((), generator=generator)) < self.empty_share:
            return case.empty[_draw(len(case.empty), generator)]
        weights = torch.tensor([self.weights.get(name, 1.0) for name in case.structures], dtype=torch.float64)
        return case.structures[int(torch.multinomial(weights, 1, generator=generator))]

    def batch(self, positions: Sequence[int]) -> DiTBatch:
        """Return the samples at `positions`."""
        samples = [self.draw(position) for position in positions]
        images = torch.stack([_normalize(self._image(sample.case), self.image) for sample in samples])
        stored = [self._mask(sample) for sample in samples]
        masks = torch.stack([self._normalize_mask(*pair) for pair in zip(samples, stored, strict=True)])
        text, text_mask = pad_texts([self._text(sample) for sample in samples])
        weights = None
        if self.loss_share:
            weights = torch.stack([self._loss_weights(*pair) for pair in zip(samples, stored, strict=True)])
        return DiTBatch(images, Conditioning(masks, text, text_mask), weights)

    def names(self, positions: Sequence[int]) -> list[str]:
        """Return the cases at `positions`."""
        return [self.draw(position).case.id for position in positions]

    def _image(self, case: TrainingCase) -> Latents:
        return self._memory.get(("image", case.id), lambda: read_image(self._verify(case.latents, LATENTS)))

    def _normalize_mask(self, sample: Sample, mask: Latents | None) -> Float[Tensor, "z ld lh lw"]:
        if mask is None or sample.structure is None:
            return torch.zeros(self._image(sample.case).shape)
        return _normalize(mask, self.masks.get(sample.structure, self.mask))

    def _loss_weights(self, sample: Sample, mask: Latents | None) -> Float[Tensor, "1 ld lh lw"]:
        empty = self._empty_mask(sample.case.latents.parent)
        region = mask_region(_tensor(empty if mask is None else mask), _tensor(empty))
        return loss_weights(region, self.loss_share)

    def _text(self, sample: Sample) -> Embeddings:
        prompt, report = self.prompts[sample.prompt], sample.case.report
        if sample.mode not in WITH_REPORT or report is None:
            return prompt
        embeddings = self._memory.get(("report", sample.case.id), lambda: read_report(self._verify(report, REPORT)))
        return np.concatenate([prompt, embeddings])

    def _mask(self, sample: Sample) -> Latents | None:
        case, structure = sample.case, sample.structure
        if structure is None:
            return None
        if structure in case.empty:
            return self._empty_mask(case.latents.parent)
        key = ("mask", case.id, structure)
        return self._memory.get(key, lambda: read_mask(self._verify(case.latents, LATENTS), structure))

    def _empty_mask(self, shard: Path) -> Latents:
        key = ("empty mask", shard)
        return self._memory.get(key, lambda: read_empty_mask(self._verify(shard / EMPTY_MASK, LATENTS).parent))

    def _verify(self, folder: Path, name: str) -> Path:
        """Return a case's folder after its file was compared with its record."""
        if (sha256 := self.digests.get(folder / name)) is not None:
            verify(folder / name, sha256, folder.parent.with_suffix(".json"))
        return folder


def _normalize(latents: Latents, statistics: ChannelStatistics) -> Float[Tensor, "z ld lh lw"]:
    return statistics.normalize(_tensor(latents))


def _tensor(latents: Latents) -> Float[Tensor, "z ld lh lw"]:
    return torch.from_numpy(latents.astype(np.float32))


def pad_texts(texts: Sequence[Embeddings]) -> tuple[Float[Tensor, "b m e"], Bool[Tensor, "b m"]]:
    """Return the texts as one tensor, zeros after each one's end, and where the real tokens are."""
    longest, width = max(len(text) for text in texts), texts[0].shape[1]
    tokens = np.zeros((len(texts), longest, width), np.float32)
    real = np.zeros((len(texts), longest), bool)
    for index, text in enumerate(texts):
        tokens[index, : len(text)], real[index, : len(text)] = text, True
    return torch.from_numpy(tokens), torch.from_numpy(real)


def _draw(n: int, generator: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=generator))
