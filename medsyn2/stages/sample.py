"""The stage ``sample``: a synthetic volume for each held-out case and condition."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medsyn2.config import InferenceConfig, SampleConfig
from medsyn2.ct.volume import LabelMap
from medsyn2.facts import InventoryFacts, MasksFacts, RegisterFacts, Report, SampledVolume, SampleFacts, mask_file
from medsyn2.files import sha256_of
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline, Synthetic
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.store.artefacts import CaseWork, Record, load_manifest, process_shard
from medsyn2.store.read_artefact import read_made_labels
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure, condition_name

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Condition:
    """The report and the mask that a volume of a case is made from, each None where it is not given."""

    structure: Structure | None  # The structure whose mask is given
    report: Report | None  # Findings and impression

    @property
    def name(self) -> str:
        """Its name in files and tables."""
        return condition_name(self.structure, with_report=self.report is not None)


def sample(
    sample: SampleConfig,
    sampling: Sampling,
    inference: InferenceConfig,
    *,
    model: Path,
    inventory: Path,
    register: Path,
    masks: Path,
    manifest: Path,
    settings: str,
) -> None:
    """Sample the held-out cases of a shard: from their report alone, from masks alone, and from both together.

    Each condition gives ``<condition>.nii.gz`` on the grid of the registered volumes, marked as synthetic, and
    ``<condition>.json``, from which it can be made again. A structure is sampled where the case's mask of it is
    present, together with the report where there is one. In place of the report alone, a case without one is sampled
    from nothing, as ``neither``. A sample's seed follows from the configured one, the case and the condition, so that
    it is the same whatever else is sampled.
    """
    volumes = load_manifest(register, RegisterFacts).records
    listed = load_manifest(inventory, InventoryFacts).records
    masked = load_manifest(masks, MasksFacts).records
    held_out = [case for case, record in volumes.items() if record.facts.split == "test"]
    identity = sha256_of(model)
    conditions = {
        case: list(_conditions(sample, listed[case], masked.get(case))) for case in held_out[: sample.max_cases]
    }
    cases = [
        CaseWork(
            case,
            {
                "model": identity,
                "subject": volumes[case].facts.subject,
                "conditions": [_identity(condition, masked.get(case)) for condition in asked],
            },
        )
        for case, asked in conditions.items()
    ]
    sampler = _Sampler(sample.seed, sampling, inference, model.parent, masked)

    def work(case: CaseWork, folder: Path) -> SampleFacts:
        samples = []
        for condition in conditions[case.case]:
            made = sampler.make(case.case, condition)
            file = f"{condition.name}.nii.gz"
            made.save(folder / file)
            recipe = made.recipe
            samples.append(SampledVolume(condition.name, recipe.mode, condition.structure, recipe.seed, file))
        return SampleFacts(volumes[case.case].facts.subject, "test", tuple(samples))

    process_shard("sample", manifest, cases, work, settings=settings, facts=SampleFacts)


def _conditions(
    config: SampleConfig, listed: Record[InventoryFacts], masks: Record[MasksFacts] | None
) -> Iterator[Condition]:
    report, present = listed.facts.report, masks.facts.present if masks is not None else ()
    if config.with_report:
        yield Condition(None, report)
    yield from (Condition(structure, None) for structure in config.structures if structure in present)
    if report is not None:
        yield from (Condition(structure, report) for structure in config.joint if structure in present)


def _identity(condition: Condition, masks: Record[MasksFacts] | None) -> list[object]:
    """Return the inputs that determine a sample, besides model and settings."""
    mask = None
    if condition.structure is not None and masks is not None:
        mask = masks.files[f"{masks.case}/{mask_file(condition.structure)}"]
    return [condition.name, condition.report, mask]


class _Sampler:
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
        return MedSyn2Pipeline.from_pretrained(self.folder, precision=self.inference.precision)

    def make(self, case: str, condition: Condition) -> Synthetic:
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
