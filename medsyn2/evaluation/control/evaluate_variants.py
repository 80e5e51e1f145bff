"""The stage ``evaluate_variants``: the contribution of a part of the model or of its training."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from medsyn2.config import MAIN, EvaluateVariantsConfig, FlowConfig, InferenceConfig, SampleConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import ConfigError, EnvironmentFault
from medsyn2.evaluation.control.blockiness import Pitches, blockiness, profiles, token_pitches
from medsyn2.evaluation.control.lesions import lesions, size_class
from medsyn2.evaluation.control.losses import combinations, encode_volume, flow_losses, reconstruct_volume
from medsyn2.evaluation.control.sizes import TIMES
from medsyn2.evaluation.control.variants_figure import Seams, variants_png
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.held_out import Case, load_cases, volumes_by_condition
from medsyn2.evaluation.statistics.paired import CASE_COLUMNS, compare
from medsyn2.facts import Report
from medsyn2.files import write_bytes, write_table
from medsyn2.flow import Sampling
from medsyn2.page.strips import Picture, difference, strips_png
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.reports.text import compose_report
from medsyn2.store.read_artefact import read_made_ct
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure

log = logging.getLogger(__name__)

REAL, RECONSTRUCTION = "real", "reconstruction"
"""Rows of no model, the references of the models' values."""
OF_NO_MODEL = {"ceiling": REAL, "reconstructed_ct": RECONSTRUCTION}
"""Their comparisons in the stage evaluate_masks."""
ATTENTION = ("first_token_mass", "entropy_share", "finding_over_alike")
AT_TIME = "flow_loss_at_time"
ORDER = (
    "blockiness", "flow_loss", "dice_requested", "dice_shuffled", "lesion_made", "lesion_made_mirrored", *ATTENTION,
    "lesion_denser_hu", "fid", AT_TIME,
)  # fmt: skip
"""Of the table's measures: the page shows the first rows."""

Row = tuple[str, str, str, str, str, float]
"""As `CASE_COLUMNS`."""


@dataclass(frozen=True)
class Model:
    """A trained model and its volumes."""

    name: str  # ``main``, or the variant's
    pipeline: MedSyn2Pipeline  # The model
    samples: Mapping[str, Mapping[str, VolumeFile]]  # Its volumes of the held-out cases: by condition and case

    @property
    def title(self) -> str:
        """Its title in a picture, with the length of its training."""
        return f"{self.name}, {self.pipeline.description.training.num_steps} steps"

    @property
    def structures(self) -> set[Structure]:
        """Structures whose masks it was trained with."""
        return set(self.pipeline.description.training.structures)

    @property
    def pitches(self) -> Pitches:
        """Voxels of its tokens."""
        described = self.pipeline.description
        return token_pitches(described.grid.shape, described.latents.shape[1:], self.pipeline.dit.patch)


def evaluate_variants(
    flow: FlowConfig,
    sample: SampleConfig,
    sampling: Sampling,
    evaluate_variants: EvaluateVariantsConfig,
    inference: InferenceConfig,
    *,
    models: list[Path],
    samples: list[Path],
    agreement: list[Path],
    attention: list[Path],
    fid: list[Path],
    inventory: list[Path],
    register: list[Path],
    masks: list[Path],
    table: Path,
    cases: Path,
    figure: Path,
    left_out_figure: Path,
) -> None:
    """Compare variants with the main model on the same held-out cases, masks, seeds, times and noise.

    The flow loss is the training's own, at ten times, with each combination of conditions. Agreement with the masks,
    Frechet distances and attention are those of the stages that measure them. Blockiness shows whether the tokens'
    borders are visible (Fig. 13), against real volumes and their reconstructions. For a structure whose masks a variant
    never saw in training (Fig. 12), the main model and the variant make every lesion with its mask and with an empty
    one; lesions that became denser are counted by size.
    """
    found = load_cases(register, inventory=inventory, masks=masks)
    held_out = {case.name: case for case in sorted(found, key=lambda case: case.name)}
    if not held_out or not models:
        raise EnvironmentFault(
            f"models are compared on held-out cases, got {len(models)} models and {len(held_out)} cases.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    names = [MAIN, *(path.parents[2].name for path in models[1:])]
    rows = list(_tables(names, agreement, attention, _shares(fid, len(models)), held_out))
    trained = {
        name: Model(
            name, MedSyn2Pipeline.from_pretrained(path.parent, precision=inference.precision), _samples(register, share)
        )
        for name, path, share in zip(names, models, _shares(samples, len(models)), strict=True)
    }
    some = list(held_out.values())[: evaluate_variants.max_cases]
    for model in trained.values():
        rows += _losses(model, some, sample.structures, flow.t_clamp, evaluate_variants.seed)
        rows += _seams(model, held_out)
    main = trained[MAIN]
    references = {case.name: _references(main.pipeline, case) for case in some}
    rows += _reference_seams(main, references, held_out)
    shown = some[: evaluate_variants.num_pictures]
    write_bytes(figure, _comparison(list(trained.values()), shown, references, sample.structures))
    studies = list(_leave_out_study(trained, held_out.values(), (sample.seed, sampling), evaluate_variants))
    rows += [row for study_rows, _ in studies for row in study_rows]
    strips = [strip for _, study_strips in studies for strip in study_strips]
    nothing = Picture(next(iter(references.values()))[REAL], "no variant was trained without a structure")
    write_bytes(left_out_figure, strips_png(strips or [[nothing]]))
    rows.sort(key=lambda row: ORDER.index(row[0]))
    frame = pd.DataFrame(rows, columns=CASE_COLUMNS)
    write_table(cases, frame, digits=6)
    means = compare(frame, MAIN, num_draws=evaluate_variants.num_draws, seed=evaluate_variants.seed)
    write_table(table, means)


def _shares(paths: Sequence[Path], num: int) -> list[Sequence[Path]]:
    """Split the files of several models into one equal share each."""
    each, rest = divmod(len(paths), num)
    if rest:
        raise ConfigError(
            f"expected as many files of each of {num} models, got {len(paths)} in all.",
            code="models-missing",
            remedy="give the main model's files, then those of each variant, in the order of the models.",
        )
    return [paths[index * each : (index + 1) * each] for index in range(num)]


def _samples(register: Sequence[Path], samples: Sequence[Path]) -> dict[str, dict[str, VolumeFile]]:
    volumes = volumes_by_condition(load_cases(register, samples=samples))
    return {condition: {volume.id: volume for volume in of} for condition, of in volumes.items()}


def _tables(
    names: Sequence[str],
    agreement: Sequence[Path],
    attention: Sequence[Path],
    fid: Sequence[Sequence[Path]],
    held_out: Mapping[str, Case],
) -> Iterator[Row]:
    """Yield other stages' measurements of each model."""
    for name, path in zip(names, agreement, strict=True):
        yield from _agreements(name, pd.read_csv(path), held_out)
    for name, path in zip(names, attention, strict=True):
        cases = pd.read_csv(path)
        for row in cases[cases["case"].isin(list(held_out))].to_dict("records"):
            for measure in ATTENTION:
                yield measure, "report", name, held_out[row["case"]].subject, row["case"], row[measure]
    for name, paths in zip(names, fid, strict=True):
        for path in paths:
            frame = pd.read_csv(path)
            for row in frame[frame["plane"] == "mean"].to_dict("records"):
                yield "fid", f"{row['window']}, {row['condition']}", name, "all", "all", row["fid"]


def _agreements(name: str, cases: pd.DataFrame, held_out: Mapping[str, Case]) -> Iterator[Row]:
    for row in cases.to_dict("records"):
        comparison, subject = row["comparison"], held_out[row["case"]].subject
        if comparison in OF_NO_MODEL and name == MAIN:
            variant = OF_NO_MODEL[comparison]
            yield "dice_requested", row["structure"], variant, subject, row["case"], row["dice"]
        elif comparison in ("requested", "shuffled"):
            item = row["case"] if comparison == "requested" else f"{row['case']}, {row['other']}"
            yield f"dice_{comparison}", row["structure"], name, subject, item, row["dice"]


def _losses(
    model: Model, cases: Sequence[Case], structures: Sequence[Structure], t_clamp: float, seed: int
) -> Iterator[Row]:
    """Yield the flow loss of each case: in all, with each combination of conditions, and at each time."""
    pipeline = model.pipeline
    for case in tqdm(cases, desc=f"flow loss of {model.name}", unit="case"):
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


def _seams(model: Model, held_out: Mapping[str, Case]) -> Iterator[Row]:
    for condition, volumes in model.samples.items():
        for case, volume in volumes.items():
            value = blockiness(read_made_ct(volume.path).hu, model.pitches)
            yield "blockiness", condition, model.name, held_out[case].subject, case, value


def _references(pipeline: MedSyn2Pipeline, case: Case) -> dict[str, CTVolume]:
    """Return the real volume and its reconstruction."""
    real = case.read()
    low, high = pipeline.description.grid.clip_hu
    clipped = CTVolume(np.clip(real.hu, low, high).astype(np.int16), real.affine_mm)
    return {REAL: clipped, RECONSTRUCTION: reconstruct_volume(pipeline, real)}


def _reference_seams(
    main: Model, references: Mapping[str, Mapping[str, CTVolume]], held_out: Mapping[str, Case]
) -> Iterator[Row]:
    for case, volumes in references.items():
        for name, volume in volumes.items():
            value = blockiness(volume.hu, main.pitches)
            for condition in main.samples:
                yield "blockiness", condition, name, held_out[case].subject, case, value


def _comparison(
    models: Sequence[Model],
    cases: Sequence[Case],
    references: Mapping[str, Mapping[str, CTVolume]],
    structures: Sequence[Structure],
) -> bytes:
    """Draw the same cases by every model, from a mask if masks were sampled, with the real volumes."""
    main = models[0]
    condition = next((name for name in structures if name in main.samples), next(iter(main.samples)))
    pictures: list[list[Picture]] = []
    seams: dict[str, Seams] = {}
    for case in cases:
        volumes = {name: (name, main.pitches, volume) for name, volume in references[case.name].items()}
        for model in models:
            if case.name in model.samples.get(condition, {}):
                made = read_made_ct(model.samples[condition][case.name].path)
                volumes[model.name] = (f"SYNTHETIC, {model.title}", model.pitches, made)
        pictures.append([Picture(volume, title) for title, _, volume in volumes.values()])
        for name, (_, pitches, volume) in volumes.items():
            seams.setdefault(name, []).append(profiles(volume.hu, pitches))
    return variants_png(pictures, main.pitches, seams)


def _leave_out_study(
    models: Mapping[str, Model], cases: Iterable[Case], how: tuple[int, Sampling], config: EvaluateVariantsConfig
) -> Iterator[tuple[list[Row], list[list[Picture]]]]:
    """Yield rows and pictures of each structure that some variant was not trained with masks of."""
    main = models[MAIN]
    lacking = {
        structure: without
        for structure in sorted(main.structures)
        if (without := [model for model in models.values() if structure not in model.structures])
    }
    known = list(cases)
    for structure, without in lacking.items():
        having = [case for case in known if structure in case.structures][: config.max_cases]
        having.sort(key=lambda case: -int(case.mask(structure).binary().sum()))
        places = np.linspace(0, len(having) - 1, min(config.num_pictures, len(having))).astype(int)
        shown = {having[place].name for place in places}
        for case in tqdm(having, desc=f"{structure} left out", unit="case"):
            rows: list[Row] = []
            mask = case.mask(structure)
            strip = [Picture(case.read(), f"{case.name}, {STRUCTURE_WORDS[structure]}\nreal", mask.binary())]
            for model in (main, *without):
                full, empty = (_sample_volume(model, case, structure, one, *how) for one in (mask, _empty_mask(mask)))
                rows += _lesion_rows(model.name, case, structure, mask, full, empty, config)
                strip.append(Picture(full, f"SYNTHETIC, {model.title}", mask.binary()))
                strip.append(Picture(difference(full, empty), "minus empty mask: black 0, white 600 HU", mask.binary()))
            yield rows, [strip] if case.name in shown else []


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
