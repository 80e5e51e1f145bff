"""A case of the cohort as evaluations see it: everything that earlier stages left of it, joined once.

The registered volume makes a case. Its report, masks, samples and reconstruction are there or not. Masks are
read in two ways: as the model got them, and as regions that a segmenter can find again. The mask of the lobes is their
boundaries, which no segmenter returns, so that lobes are compared as the lungs they make up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.facts import (
    CT_FILE,
    InventoryFacts,
    MasksFacts,
    ReconstructionFacts,
    RegisterFacts,
    Report,
    SampledVolume,
    SampleFacts,
    mask_file,
    region_file,
)
from medsyn2.store.artefacts import Record, load_records
from medsyn2.store.read_artefact import read_made_ct, read_made_labels
from medsyn2.vocabulary import Split, Structure


@dataclass(frozen=True, eq=False)
class Case:
    """A registered case and the records of it that were asked for."""

    registered: Record[RegisterFacts]  # Of the stage register
    # Of the stage inventory: the scan as acquired, its report and labels
    listed: Record[InventoryFacts] | None = None
    masked: Record[MasksFacts] | None = None  # Of the stage masks
    sampled: Record[SampleFacts] | None = None  # Of the stage sample
    reconstructed: Record[ReconstructionFacts] | None = None  # Of the stage reconstruct

    @property
    def name(self) -> str:
        """The case's id."""
        return self.registered.case

    @property
    def subject(self) -> str:
        """The patient."""
        return self.registered.facts.subject

    @property
    def split(self) -> Split:
        """Whether the case is trained on or held out."""
        return self.registered.facts.split

    @property
    def scan(self) -> InventoryFacts:
        """The scan as it was acquired."""
        assert self.listed is not None
        return self.listed.facts

    @property
    def report(self) -> Report | None:
        """The report, if the case has one."""
        return self.listed.facts.report if self.listed else None

    @property
    def volume(self) -> VolumeFile:
        """The registered volume's file."""
        return self._file(self.registered, CT_FILE)

    def read(self) -> CTVolume:
        """Read the registered volume."""
        return read_made_ct(self.registered.path(CT_FILE))

    @property
    def structures(self) -> tuple[Structure, ...]:
        """The structures that the case has a mask of, and not an empty one."""
        return self.masked.facts.present if self.masked else ()

    def mask_path(self, structure: Structure) -> Path:
        """Return the file of a mask as the model gets it."""
        return self._masks.path(mask_file(structure))

    def region_path(self, structure: Structure) -> Path:
        """Return the file of the region that a segmenter can find again: of lobes, the lungs."""
        return self._masks.path(region_file(structure))

    def region_digest(self, structure: Structure) -> str:
        """Return the sha256 of the file of `region_path`."""
        return self._masks.files[f"{self.name}/{region_file(structure)}"]

    def mask(self, structure: Structure) -> LabelMap:
        """Read a mask as the model gets it."""
        return read_made_labels(self.mask_path(structure))

    def region(self, structure: Structure) -> LabelMap:
        """Read the region that a segmenter can find again: of lobes, the lungs."""
        return read_made_labels(self.region_path(structure))

    def segmenter(self, structure: Structure) -> str:
        """Return the name of the tool that made a mask."""
        return self._masks.facts.masks[structure].tool or ""

    @property
    def samples(self) -> Mapping[SampledVolume, VolumeFile]:
        """The synthetic volumes of the case, with the condition each was given."""
        if self.sampled is None:
            return {}
        return {one: self._file(self.sampled, one.file) for one in self.sampled.facts.samples}

    @property
    def reconstruction(self) -> VolumeFile | None:
        """The registered volume after the tokenizer, if the case was reconstructed."""
        return self._file(self.reconstructed, CT_FILE) if self.reconstructed else None

    def reconstruction_region(self, structure: Structure) -> LabelMap | None:
        """Read the region after the tokenizer; None if it did not go through, as the lungs never do."""
        if self.reconstructed is None or structure not in self.reconstructed.facts.masks:
            return None
        name = region_file(structure)
        return read_made_labels(self.reconstructed.path(name)) if name == mask_file(structure) else None

    @property
    def _masks(self) -> Record[MasksFacts]:
        assert self.masked is not None
        return self.masked

    def _file(self, record: Record[Any], name: str) -> VolumeFile:
        return VolumeFile(self.name, self.subject, record.place(name), sha256=record.files.get(f"{self.name}/{name}"))


def load_cases(
    register: Iterable[Path],
    *,
    inventory: Iterable[Path] = (),
    masks: Iterable[Path] = (),
    samples: Iterable[Path] = (),
    reconstructions: Iterable[Path] = (),
    split: Split | None = "test",
) -> list[Case]:
    """Join the manifests of several stages into the cases of a split, in the cohort's order.

    Args:
        split: The held-out cases, the training cases, or both (None).
    """
    listed = load_records(inventory, InventoryFacts)
    masked = load_records(masks, MasksFacts)
    sampled = load_records(samples, SampleFacts)
    reconstructed = load_records(reconstructions, ReconstructionFacts)
    return [
        Case(record, listed.get(case), masked.get(case), sampled.get(case), reconstructed.get(case))
        for case, record in load_records(register, RegisterFacts).items()
        if split in (None, record.facts.split)
    ]


def volumes_by_condition(cases: Sequence[Case]) -> dict[str, list[VolumeFile]]:
    """Return the synthetic volumes of some cases by the condition they were given."""
    found: dict[str, list[VolumeFile]] = {}
    for case in cases:
        for sample, volume in case.samples.items():
            found.setdefault(sample.condition, []).append(volume)
    return found
