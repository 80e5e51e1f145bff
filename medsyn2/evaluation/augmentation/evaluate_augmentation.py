"""The stage ``evaluate_augmentation``: do generated volumes help to train a segmentation network?"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from medsyn2.config import EvaluateAugmentationConfig, EvaluateMasksConfig, InferenceConfig, SampleConfig, SegmentConfig
from medsyn2.errors import ConfigError
from medsyn2.evaluation.augmentation.arms import (
    ARMS,
    CASES_COLUMNS,
    THRESHOLD,
    compare_arms,
    judge_slices,
    table_columns,
)
from medsyn2.evaluation.augmentation.figure import JudgedSlice, augmentation_png, nothing_png
from medsyn2.evaluation.augmentation.slice_segmenter import probabilities, train_segmenter
from medsyn2.evaluation.augmentation.slice_set import read_slice_set
from medsyn2.evaluation.augmentation.slices import LabelledSlice, draw_names, largest_slice, resize_slice
from medsyn2.evaluation.case_rows import read_rows, write_rows
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.segmentation import segment_again, tools_again
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.facts import SPARSE
from medsyn2.files import sha256_of, write_bytes, write_table
from medsyn2.fingerprints import canonical_json
from medsyn2.flow import Sampling
from medsyn2.nn.device import available_device
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.segmenters import READERS, Segmenter, get_segmenter
from medsyn2.store.artefacts import CaseWork, Record, process_shard
from medsyn2.vocabulary import STRUCTURE_WORDS, PrecisionSetting, Split, Structure

log = logging.getLogger(__name__)

NUM_SHOWN = 3
"""Test slices in the figure, the first ones; of training slices, two of each kind."""

PEOPLE = "people"
"""Who made the masks of a public set, in the column ``segmenter``."""

FILES = ("hu.npy", "mask.npy")
"""A synthetic slice and its mask: an image of one slice is no volume."""

FOUND_FILE = "found.npy"
"""Findings of a network in the test slices that are shown."""

TRAINED_BY = ("channels", "num_levels", "num_steps", "batch_size", "learning_rate", "surface_tolerance_mm")
"""Keys that decide a network and its rows, beside its slices and its seed."""

Slices = list[LabelledSlice]


@dataclass(frozen=True)
class Source:
    """A case that has a slice of a structure to give, and the slice's number."""

    case: Case
    structure: Structure
    index: int

    @property
    def name(self) -> str:
        """The case's id."""
        return self.case.name

    def real(self) -> LabelledSlice:
        """Return the slice of the registered CT, with the region as the network is to find it."""
        volume, region = self.case.read(), self.case.region(self.structure)
        _, height_mm, width_mm = volume.spacing_mm
        hu, mask = volume.hu[self.index], region.binary()[self.index]
        return LabelledSlice(self.name, self.case.subject, hu, mask, (height_mm, width_mm))


@dataclass(frozen=True)
class SliceFacts:
    """A synthetic slice: its place in the volume, the volume's seed, and how its mask was found again."""

    subject: str
    index: int
    seed: int
    spacing_mm: tuple[float, float]
    dice_requested: float | None = field(default=None, metadata=SPARSE)


@dataclass(frozen=True)
class NetworkFacts:
    """A network that was trained and judged."""

    arm: str
    seed: int


def evaluate_augmentation(
    segment: SegmentConfig,
    sample: SampleConfig,
    sampling: Sampling,
    evaluate_masks: EvaluateMasksConfig,
    evaluate_augmentation: EvaluateAugmentationConfig,
    inference: InferenceConfig,
    *,
    model: Path,
    register: list[Path],
    masks: list[Path],
    slices: Path,
    networks: Path,
    table: Path,
    cases: Path,
    figure: Path,
) -> None:
    """Train a U-Net on real slices, on synthetic ones and on both, equally long, and test it on real ones of others.

    Slices are drawn by the rule of ``slices.py``. The real ones are the cohort's, trained on the training
    cases and tested on the held-out ones, or those of a public set. For the synthetic ones a volume is generated from
    the mask alone; its slice at the mask's largest place and the mask there are a pair. All are brought to one number
    of pixels: a generated slice shows the grid's whole width, a public one its picture's.

    No test patient's mask is used for the synthetic slices. The generator was trained on all training cases, those
    kept from the real set included, which may reach the network through it. The cohort's masks, of training and test
    alike, are the segmenter's. A public set's are people's; if the segmenter was trained on that set, as MEDPSeg was on
    the paper's, its knowledge reaches the network with the masks.

    Synthetic slices and trained networks are kept, so that a stopped job goes on with the next one.

    The column ``segmenter`` names the origin of the masks that the networks are judged against.
    """
    config = evaluate_augmentation
    sources = {split: _sources(load_cases(register, masks=masks, split=split), config) for split in get_args(Split)}
    train, test, used = _real(sources, config)
    wanted = _masks_to_use(sources[config.masks_from], used, config)
    settings = segment, sample.seed, sampling, evaluate_masks, config, inference.precision
    synthetic = _synthetic(wanted, model, slices, settings)
    train, synthetic, test = (
        [resize_slice(one, config.image_size) for one in kind] for kind in (train, synthetic, test)
    )
    sets = dict(zip(ARMS, (train, synthetic, [*train, *synthetic]), strict=True))
    counts = f"{len(train)} real and {len(synthetic)} synthetic slices to train on, {len(test)} to test"
    log.info("%s of %s", counts, config.structure)
    if not (train and synthetic and test):
        log.warning("training sets cannot be compared: %s", counts)
        write_table(table, pd.DataFrame(columns=table_columns()), digits=None)
        write_table(cases, pd.DataFrame(columns=CASES_COLUMNS), digits=None)
        write_bytes(figure, nothing_png(f"{STRUCTURE_WORDS[config.structure]}: {counts}"))
        return
    rows, found = _train_and_judge(sets, test, config, networks)
    judge = (
        PEOPLE
        if config.public
        else ", ".join(sorted({source.case.segmenter(config.structure) for source in sources["test"]}))
    )
    sizes = {
        arm: {"num_real": len(train) * (arm != "synthetic"), "num_synthetic": len(synthetic) * (arm != "real")}
        | {"structure": config.structure, "segmenter": judge, "num_steps": config.num_steps}
        for arm in ARMS
    }
    frame = pd.DataFrame(rows).assign(segmenter=judge)[CASES_COLUMNS]
    means = compare_arms(frame, sizes)
    write_table(cases, frame)
    write_table(table, means)
    examples = {"real": train[:2], "SYNTHETIC": synthetic[:2]}
    write_bytes(figure, augmentation_png(examples, _examples(test, found), means, frame))


def _sources(cases: Sequence[Case], config: EvaluateAugmentationConfig) -> list[Source]:
    """Return the cases that have the structure on a slice that is large enough."""
    found = []
    for case in sorted(cases, key=lambda case: case.name):
        if config.structure in case.structures:
            region = case.region(config.structure)
            index = largest_slice(region.binary(), region.spacing_mm, config.min_area_mm2)
            if index is not None:
                found.append(Source(case, config.structure, index))
    return found


def _real(sources: Mapping[str, list[Source]], config: EvaluateAugmentationConfig) -> tuple[Slices, Slices, set[str]]:
    """Return the real slices to train on and to test, and the cases of the cohort that are trained on."""
    if config.public is not None:
        public = config.public
        train, test = read_slice_set(public.folder, public.split, config.structure, pixel_mm=public.pixel_mm)
        kept = set(draw_names([one.name for one in train], config.max_real, config.seed))
        return [one for one in train if one.name in kept], test, set()
    used = set(draw_names([source.name for source in sources["train"]], config.max_real, config.seed))
    return (
        [source.real() for source in sources["train"] if source.name in used],
        [source.real() for source in sources["test"]],
        used,
    )


def _masks_to_use(sources: Sequence[Source], used: set[str], config: EvaluateAugmentationConfig) -> list[Source]:
    """Return whose masks volumes are generated from: of cases that are not trained on, if there are enough."""
    others = [source.name for source in sources if source.name not in used]
    enough = config.max_synthetic is not None and len(others) >= config.max_synthetic
    chosen = set(
        draw_names(others if enough else [source.name for source in sources], config.max_synthetic, config.seed)
    )
    return [source for source in sources if source.name in chosen]


def _synthetic(
    sources: Sequence[Source],
    model: Path,
    manifest: Path,
    settings: tuple[SegmentConfig, int, Sampling, EvaluateMasksConfig, EvaluateAugmentationConfig, PrecisionSetting],
) -> Slices:
    """Generate a volume from each mask and keep its slice; existing slices stay."""
    segment, seed, sampling, evaluate_masks, config, precision = settings
    made_by: dict[str, Any] = {"model": sha256_of(model), "sampling": asdict(sampling), "seed": seed}
    made_by |= {"structure": config.structure, "relabel": config.relabel, "precision": precision}
    if config.relabel:
        segment = tools_again(segment, evaluate_masks)
        made_by["segment"] = segment.model_dump(mode="json")
    by_case = {source.name: source for source in sources}
    work = [
        CaseWork(
            name,
            [
                source.index,
                sha256_of(source.case.mask_path(config.structure)),
                sha256_of(source.case.region_path(config.structure)),
            ],
        )
        for name, source in by_case.items()
    ]
    with ExitStack() as held:
        tool = held.enter_context(closing(_finder(config.structure, segment))) if config.relabel else None
        pipeline = partial(MedSyn2Pipeline.from_pretrained, model.parent, precision=precision)
        generator = _Generator(seed, sampling, pipeline, config.structure, tool)
        made = process_shard(
            "evaluate_augmentation",
            manifest,
            work,
            lambda case, folder: generator.write(by_case[case.case], folder),
            settings=canonical_json(made_by),
            facts=SliceFacts,
        )
    return [_read_synthetic(record) for record in made.records.values()]


def _read_synthetic(record: Record[SliceFacts]) -> LabelledSlice:
    hu, mask = (np.load(record.path(name), allow_pickle=False) for name in FILES)
    return LabelledSlice(record.case, record.facts.subject, hu, mask, record.facts.spacing_mm)


def _finder(structure: Structure, segment: SegmentConfig) -> Segmenter:
    tool = segment.tools.get(structure)
    if tool is None or tool in READERS:
        raise ConfigError(
            f"evaluate_augmentation.relabel needs a tool that finds {structure} in any volume, got {tool}.",
            code="relabel-tool",
            remedy="name one in evaluate_masks.tools, or set relabel to false.",
        )
    return get_segmenter(tool, segment)


class _Generator:
    """Makes synthetic slices; the model is loaded when the first is needed."""

    def __init__(
        self,
        seed: int,
        sampling: Sampling,
        load: Callable[[], MedSyn2Pipeline],
        structure: Structure,
        tool: Segmenter | None,
    ) -> None:
        self.load, self.structure, self.tool = load, structure, tool
        self.seed, self.sampling = seed, sampling

    @cached_property
    def pipeline(self) -> MedSyn2Pipeline:
        return self.load()

    def write(self, source: Source, folder: Path) -> SliceFacts:
        """Write the slice and its mask; return their facts."""
        seed = derive_seed(self.seed, source.name, f"augmentation {self.structure}")
        mask = source.case.mask(self.structure)
        words = STRUCTURE_WORDS[self.structure]
        made = self.pipeline(mask=mask, mask_text=words, seed=seed, sampling=self.sampling)
        asked = target = source.case.region(self.structure).binary()
        agreement = None
        if self.tool is not None:
            target = segment_again(made.volume, self.structure, self.tool)
            agreement = dice(target[source.index], asked[source.index])
        for name, values in zip(FILES, (made.volume.hu, target), strict=True):
            np.save(folder / name, values[source.index])
        _, height_mm, width_mm = made.volume.spacing_mm
        return SliceFacts(source.case.subject, source.index, seed, (height_mm, width_mm), agreement)


def _train_and_judge(
    sets: Mapping[str, Slices], test: Slices, config: EvaluateAugmentationConfig, manifest: Path
) -> tuple[list[dict[str, object]], dict[str, np.ndarray]]:
    """Train the networks that are not trained yet.

    Returns:
        The rows of all, and by training set the findings of the first seed's in the test slices that are shown.
    """
    runs = {f"{arm}_{seed}": (arm, seed) for arm in sets for seed in range(config.num_seeds)}
    starts = {name: derive_seed(config.seed, "augmentation", str(seed)) for name, (_, seed) in runs.items()}
    digests = {arm: _digest([*slices, *test]) for arm, slices in sets.items()}

    def work(work: CaseWork, folder: Path) -> NetworkFacts:
        arm, seed = runs[work.case]
        network = train_segmenter(sets[arm], config, seed=starts[work.case], device=str(available_device()))
        maps = probabilities(network, test)
        write_rows(folder, judge_slices(maps, test, arm=arm, seed=seed, tolerance_mm=config.surface_tolerance_mm))
        np.save(folder / FOUND_FILE, maps[:NUM_SHOWN] >= THRESHOLD)
        return NetworkFacts(arm, seed)

    made = process_shard(
        "evaluate_augmentation",
        manifest,
        [CaseWork(name, [digests[arm], arm, seed, starts[name]]) for name, (arm, seed) in runs.items()],
        work,
        settings=canonical_json({key: getattr(config, key) for key in TRAINED_BY}),
        facts=NetworkFacts,
    ).records
    rows = [row for record in made.values() for row in read_rows(record)]
    return rows, {arm: np.load(made[f"{arm}_0"].path(FOUND_FILE), allow_pickle=False) for arm in sets}


def _digest(slices: Slices) -> str:
    """Return a hash of slices that networks are trained on and judged by."""
    digest = hashlib.sha256()
    for one in slices:
        digest.update(canonical_json([one.name, one.patient, one.spacing_mm, one.hu.shape, str(one.hu.dtype)]).encode())
        digest.update(np.ascontiguousarray(one.hu).tobytes() + np.ascontiguousarray(one.mask).tobytes())
    return digest.hexdigest()


def _examples(test: Slices, found: Mapping[str, np.ndarray]) -> list[JudgedSlice]:
    return [
        JudgedSlice(one, {arm: (masks[place], dice(masks[place], one.mask)) for arm, masks in found.items()})
        for place, one in enumerate(test[:NUM_SHOWN])
    ]
