"""The requests that volumes of a case are sampled from, and the model that samples them.

A case is asked for with its report alone, with masks alone and with both together, as the section ``sample`` says: the
stage ``sample`` asks with held-out cases, the search for copies with training cases too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medsyn2.config import InferenceConfig, SampleConfig
from medsyn2.ct.volume import LabelMap
from medsyn2.facts import InventoryFacts, MasksFacts, Report, SampledVolume, mask_file
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline, Synthetic
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.store.artefacts import Record
from medsyn2.store.read_artefact import read_made_labels
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure, condition_name


@dataclass(frozen=True)
class Condition:
    """The report and the mask that a volume of a case is made from, each None where it is not given."""

    structure: Structure | None  # The structure whose mask is given
    report: Report | None  # Findings and impression

    @property
    def name(self) -> str:
        """Its name in files and tables."""
        return condition_name(self.structure, with_report=self.report is not None)


def conditions_of(
    config: SampleConfig, listed: Record[InventoryFacts], masks: Record[MasksFacts] | None
) -> Iterator[Condition]:
    """Yield the requests that the configuration asks for and the case has the inputs of."""
    report, present = listed.facts.report, masks.facts.present if masks is not None else ()
    if config.with_report:
        yield Condition(None, report)
    yield from (Condition(structure, None) for structure in config.structures if structure in present)
    if report is not None:
        yield from (Condition(structure, report) for structure in config.joint if structure in present)


def identity_of(condition: Condition, masks: Record[MasksFacts] | None) -> list[object]:
    """Return the inputs that determine a sample, besides model and settings."""
    mask = None
    if condition.structure is not None and masks is not None:
        mask = masks.files[f"{masks.case}/{mask_file(condition.structure)}"]
    return [condition.name, condition.report, mask]


class Sampler:
    """The model, loaded when the first sample needs it."""

    def __init__(
        self,
        seed: int,
        sampling: Sampling,
        inference: InferenceConfig,
        folder: Path,
        masks: Mapping[str, Record[MasksFacts]],
    ) -> None:
        self.seed, self.sampling, self.inference, self.folder, self.masks = seed, sampling, inference, folder, masks

    @cached_property
    def pipeline(self) -> MedSyn2Pipeline:
        """The model."""
        return MedSyn2Pipeline.from_pretrained(self.folder, precision=self.inference.precision)

    def write(self, folder: Path, case: str, conditions: Sequence[Condition]) -> tuple[SampledVolume, ...]:
        """Write a volume and its recipe for each request of a case into its folder."""
        samples = []
        for condition in conditions:
            made = self.make(case, condition)
            file = f"{condition.name}.nii.gz"
            made.save(folder / file)
            recipe = made.recipe
            samples.append(SampledVolume(condition.name, recipe.mode, condition.structure, recipe.seed, file))
        return tuple(samples)

    def make(self, case: str, condition: Condition) -> Synthetic:
        """Sample one request of a case."""
        report, structure = condition.report or Report(), condition.structure
        return self.pipeline(
            findings=report.findings,
            impression=report.impression,
            mask=None if structure is None else self._mask(case, structure),
            mask_text=None if structure is None else STRUCTURE_WORDS[structure],
            seed=derive_seed(self.seed, case, condition.name),
            sampling=self.sampling,
        )

    def _mask(self, case: str, structure: Structure) -> LabelMap:
        return read_made_labels(self.masks[case].path(mask_file(structure)))
