"""The parts of the comparison of variants, each measured and kept by itself.

A part is a held-out case, by every model, or a case with a structure that some model was trained without masks of. It
leaves its rows, as `medsyn2.evaluation.statistics.paired.CASE_COLUMNS`, and where it is shown its pictures.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from medsyn2.config import MAIN, EvaluateVariantsConfig, SampleConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.evaluation.control.blockiness import Pitches, blockiness, profiles, token_pitches
from medsyn2.evaluation.control.lesions import lesions, size_class
from medsyn2.evaluation.control.losses import combinations, encode_volume, flow_losses, reconstruct_volume
from medsyn2.evaluation.control.sizes import TIMES
from medsyn2.evaluation.held_out import Case
from medsyn2.facts import Report
from medsyn2.files import sha256_of
from medsyn2.flow import Sampling
from medsyn2.page.strips import Picture, difference, write_strip
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.reports.text import compose_report
from medsyn2.vocabulary import CONDITIONS, STRUCTURE_WORDS, PrecisionSetting, Structure
from medsyn2.weights.model_folder import TrainingDescription, read_description

REAL, RECONSTRUCTION = "real", "reconstruction"
"""Rows of no model, the references of the models' values."""
AT_TIME = "flow_loss_at_time"
ROWS_FILE, STRIP_FILE, SEAMS_FILE = "rows.json", "strip.npz", "seams.json"
CASE = "case"
"""Start of the name of a part that is a held-out case by every model."""

Row = tuple[str, str, str, str, str, float]


@dataclass(frozen=True)
class Model:
    """A trained model and its volumes; its networks are loaded when they are first needed."""

    name: str  # ``main``, or the variant's
    path: Path  # Its model.json
    cases: Mapping[str, Case]  # The held-out cases with its volumes
    precision: PrecisionSetting = "auto"  # In which its networks run

    @cached_property
    def pipeline(self) -> MedSyn2Pipeline:
        """The model."""
        return MedSyn2Pipeline.from_pretrained(self.path.parent, precision=self.precision)

    @cached_property
    def training(self) -> TrainingDescription:
        """The record of its training."""
        return read_description(self.path.parent).training

    @property
    def title(self) -> str:
        """Its title in a picture, with the length of its training."""
        return f"{self.name}, {self.training.num_steps} steps"

    @property
    def structures(self) -> set[Structure]:
        """Structures whose masks it was trained with."""
        return set(self.training.structures)

    @property
    def pitches(self) -> Pitches:
        """Voxels of its tokens."""
        described = self.pipeline.description
        return token_pitches(described.grid.shape, described.latents.shape[1:], self.pipeline.dit.patch)


@dataclass(frozen=True)
class Part:
    """What is measured and kept of the study at once."""

    subject: str
    made_from: Any  # What decides it, beside the settings
    keep: Callable[[Path], None]  # Leaves its files in its folder


@dataclass(frozen=True)
class Study:
    """The models to compare, and the measurement of each part."""

    models: Mapping[str, Model]
    sample: SampleConfig
    sampling: Sampling
    t_clamp: float
    config: EvaluateVariantsConfig

    def cases(self, held_out: Sequence[Case]) -> dict[str, Part]:
        """Return a part for each held-out case: seams, and of the first ones losses, references and pictures."""
        main = self.models[MAIN]
        conditions = {sample.condition for case in main.cases.values() for sample in case.samples}
        condition = next((name for name in (*self.sample.structures, *CONDITIONS) if name in conditions), "")
        parts = {}
        for place, case in enumerate(held_out):
            asked = (place < self.config.max_cases, place < self.config.num_pictures, condition)
            sampled = [model.cases[case.name].sampled for model in self.models.values()]
            files = [_files(case), [record.files if record else {} for record in sampled]]
            keep = partial(self._keep_case, case, *asked)
            parts[f"{CASE}-{case.name}"] = Part(case.subject, [*self._identity(), files, case.report, asked], keep)
        return parts

    def left_out(self, held_out: Iterable[Case]) -> dict[str, Part]:
        """Return a part for each case with a structure that some variant was not trained with masks of."""
        known = list(held_out)
        parts = {}
        for structure in sorted(self.models[MAIN].structures):
            having = [case for case in known if structure in case.structures][: self.config.max_cases]
            without = [model for model in self.models.values() if structure not in model.structures]
            if not without or not having:
                continue
            having.sort(key=lambda case: -int(case.mask(structure).binary().sum()))
            places = np.linspace(0, len(having) - 1, min(self.config.num_pictures, len(having))).astype(int)
            for place, case in enumerate(having):
                is_shown = place in places
                keep = partial(self._keep_left_out, case, structure, without, is_shown)
                made_from = [*self._identity(), _files(case), structure, is_shown]
                parts[f"{structure}-{case.name}"] = Part(case.subject, made_from, keep)
        return parts

    def _identity(self) -> list[object]:
        return [[model.name, sha256_of(model.path)] for model in self.models.values()]

    def _keep_case(self, case: Case, is_measured: bool, is_shown: bool, condition: str, folder: Path) -> None:
        main = self.models[MAIN]
        rows: list[Row] = []
        for model in self.models.values():
            if is_measured:
                rows += _losses(model, case, self.sample.structures, self.t_clamp, self.config.seed)
            rows += _seams(model, case)
        if is_measured:
            references = _references(main.pipeline, case)
            rows += _reference_seams(main, references, case)
            if is_shown:
                self._keep_pictures(case, references, condition, folder)
        _write_json(folder / ROWS_FILE, rows)

    def _keep_pictures(self, case: Case, references: Mapping[str, CTVolume], condition: str, folder: Path) -> None:
        """Keep the pictures of a case by every model, with the profiles of their seams."""
        main = self.models[MAIN]
        volumes = {name: (name, main.pitches, volume) for name, volume in references.items()}
        for model in self.models.values():
            for sample, file in model.cases[case.name].samples.items():
                if sample.condition == condition:
                    made = file.read()
                    volumes[model.name] = (f"SYNTHETIC, {model.title}", model.pitches, made)
        write_strip(folder / STRIP_FILE, [Picture(volume, title) for title, _, volume in volumes.values()])
        found = {name: profiles(volume.hu, pitches) for name, (_, pitches, volume) in volumes.items()}
        kept = {name: [profile.tolist() for profile in one] for name, one in found.items()}
        _write_json(folder / SEAMS_FILE, {"pitches": main.pitches, "profiles": kept})

    def _keep_left_out(
        self, case: Case, structure: Structure, without: Sequence[Model], is_shown: bool, folder: Path
    ) -> None:
        rows: list[Row] = []
        mask = case.mask(structure)
        strip = [Picture(case.read(), f"{case.name}, {STRUCTURE_WORDS[structure]}\nreal", mask.binary())]
        for model in (self.models[MAIN], *without):
            how = (self.sample.seed, self.sampling)
            full, empty = (_sample_volume(model, case, structure, one, *how) for one in (mask, _empty_mask(mask)))
            rows += _lesion_rows(model.name, case, structure, mask, full, empty, self.config)
            strip.append(Picture(full, f"SYNTHETIC, {model.title}", mask.binary()))
            strip.append(Picture(difference(full, empty), "minus empty mask: black 0, white 600 HU", mask.binary()))
        _write_json(folder / ROWS_FILE, rows)
        if is_shown:
            write_strip(folder / STRIP_FILE, strip)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _files(case: Case) -> list[Mapping[str, str]]:
    """Return the sha256 of a case's registered volume and masks."""
    return [record.files for record in (case.registered, case.masked) if record is not None]


def _losses(model: Model, case: Case, structures: Sequence[Structure], t_clamp: float, seed: int) -> Iterator[Row]:
    """Yield the flow loss of a case: in all, with each combination of conditions, and at each time."""
    pipeline = model.pipeline
    clean, said = encode_volume(pipeline, case.read()), case.report or Report()
    report = compose_report(said.findings, said.impression, pipeline.text_encoder.separator)
    given = next((name for name in structures if name in case.structures), None)
    mask, words = (case.mask(given).binary(), STRUCTURE_WORDS[given]) if given else (None, None)
    recipes = combinations(report, mask, words, derive_seed(seed, case.name, "variants"))
    by_mode = {one.mode: flow_losses(pipeline, clean, one, TIMES, t_clamp) for one in recipes}
    losses = np.array(list(by_mode.values()))
    parts = {"mean": losses.mean(), **{f"given {mode}": np.mean(of) for mode, of in by_mode.items()}}
    for part, value in parts.items():
        yield "flow_loss", part, model.name, case.subject, case.name, float(value)
    for t, value in zip(TIMES, losses.mean(axis=0), strict=True):
        yield AT_TIME, f"t = {t:.2f}", model.name, case.subject, case.name, float(value)


def _seams(model: Model, case: Case) -> Iterator[Row]:
    for sample, file in model.cases[case.name].samples.items():
        value = blockiness(file.read().hu, model.pitches)
        yield "blockiness", sample.condition, model.name, case.subject, case.name, value


def _references(pipeline: MedSyn2Pipeline, case: Case) -> dict[str, CTVolume]:
    """Return the real volume and its reconstruction."""
    real = case.read()
    low, high = pipeline.description.grid.clip_hu
    clipped = CTVolume(np.clip(real.hu, low, high).astype(np.int16), real.affine_mm)
    return {REAL: clipped, RECONSTRUCTION: reconstruct_volume(pipeline, real)}


def _reference_seams(main: Model, references: Mapping[str, CTVolume], case: Case) -> Iterator[Row]:
    for name, volume in references.items():
        value = blockiness(volume.hu, main.pitches)
        for sample in main.cases[case.name].samples:
            yield "blockiness", sample.condition, name, case.subject, case.name, value


def _empty_mask(mask: LabelMap) -> LabelMap:
    return LabelMap(np.zeros(mask.labels.shape, np.uint8), mask.affine_mm)


def _sample_volume(
    model: Model, case: Case, structure: Structure, mask: LabelMap, seed: int, sampling: Sampling
) -> CTVolume:
    words, seed = STRUCTURE_WORDS[structure], derive_seed(seed, case.name, f"left out {structure}")
    return model.pipeline(mask=mask, mask_text=words, seed=seed, sampling=sampling).volume


def _lesion_rows(
    name: str,
    case: Case,
    structure: Structure,
    mask: LabelMap,
    full: CTVolume,
    empty: CTVolume,
    config: EvaluateVariantsConfig,
) -> Iterator[Row]:
    apart = full.hu.astype(np.int32) - empty.hu.astype(np.int32)
    here, there = (lesions(one, mask.binary(), mask.spacing_mm, config.denser_hu) for one in (apart, apart[:, :, ::-1]))
    for number, (lesion, chance) in enumerate(zip(here, there, strict=True), 1):
        values = {
            "lesion_made": float(lesion.made),
            "lesion_made_mirrored": float(chance.made),
            "lesion_denser_hu": lesion.denser_hu,
        }
        for part in ("any size", size_class(lesion.diameter_mm, config.diameters_mm)):
            for measure, value in values.items():
                item = f"{case.name}, {number}"
                yield measure, f"{structure}, {part}", name, case.subject, item, value
