"""The stage ``evaluate_augmentation``: do generated volumes help to train a segmentation network?"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from medsyn2.config import EvaluateAugmentationConfig, EvaluateMasksConfig, SampleConfig, SegmentConfig
from medsyn2.ct.volume import CTVolume, LabelMap
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
from medsyn2.evaluation.augmentation.slice_segmenter import SegmenterTraining, probabilities, train_segmenter
from medsyn2.evaluation.augmentation.slice_set import read_slice_set
from medsyn2.evaluation.augmentation.slices import LabelledSlice, draw_names, largest_slice, resize_slice
from medsyn2.evaluation.masks.evaluate_masks import segmented_again
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.files import sha256_of, write_atomically, write_text_atomically
from medsyn2.fingerprints import canonical_json
from medsyn2.flow import Sampling
from medsyn2.nn.device import available_device
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.segmenters import READERS, Segmenter, get_segmenter
from medsyn2.store.artefacts import CaseWork, Manifest, load_manifest, load_manifests, process_shard
from medsyn2.store.read_artefact import read_made_ct, read_made_labels
from medsyn2.vocabulary import STRUCTURE_WORDS, Split, Structure

log = logging.getLogger(__name__)

NUM_SHOWN = 3
"""Test slices in the figure, the first ones; of training slices, two of each kind."""

PEOPLE = "people"
"""Who made the masks of a public set, in the column ``segmenter``."""

FILES = ("hu.npy", "mask.npy")
"""A synthetic slice and its mask: an image of one slice is no volume."""

Slices = list[LabelledSlice]


@dataclass(frozen=True)
class Source:
    """A case that has a slice to give.

    Attributes:
        case: The case.
        patient: Whose it is.
        index: The slice's number.
        volume: Its registered CT.
        given: The mask as the model gets it.
        region: What the mask is of, as the network is to find it: of lobes, the lungs.
        segmenter: What made the mask.
    """

    case: str
    patient: str
    index: int
    volume: Path
    given: Path
    region: Path
    segmenter: str

    def real(self) -> LabelledSlice:
        """Return the slice of the registered CT."""
        return _slice(
            self.case, self.patient, read_made_ct(self.volume), read_made_labels(self.region), self.index
        )


def evaluate_augmentation(
    segment: SegmentConfig,
    sample: SampleConfig,
    sampling: Sampling,
    evaluate_masks: EvaluateMasksConfig,
    evaluate_augmentation: EvaluateAugmentationConfig,
    *,
    model: Path,
    register: list[Path],
    masks: list[Path],
    slices: Path,
    table: Path,
    cases: Path,
    figure: Path,
) -> None:
    """Train a U-Net on real slices, on synthetic ones and on both, equally long, and test it on real ones of others.

    Slices are drawn by the rule of ``slices.py`` beside it. The real ones are the cohort's, trained on the training
    cases and tested on the held-out ones, or those of a public set. For the synthetic ones a volume is generated from
    the mask alone; its slice at the mask's largest place and the mask there are a pair. All are brought to one number
    of pixels: a generated slice shows the grid's whole width, a public one what its picture showed.

    What the synthetic slices know: no test patient's mask is used for them. The generator was trained on the training
    cases, also on those whose slices are kept from the real set, so that they may reach the network through it. The
    cohort's masks, of training and test alike, are the segmenter's; a public set's are people's, and if the segmenter
    was itself trained on that set, as MEDPSeg was on the paper's, its knowledge reaches the network with the masks.

    The column ``segmenter`` says who made the masks that the networks are judged against.

    Args:
        segment: Which tool found which structure for the masks, to label generated volumes again.
        sample: The seed.
        sampling: How volumes are sampled.
        evaluate_masks: Tools that segment again, other than the masks'.
        evaluate_augmentation: Structure, slices, network, training, seeds.
        model: The trained model's ``model.json``.
        register: Manifests of the stage register.
        masks: Manifests of the stage masks.
        slices: Manifest of the synthetic slices; those that are there already are not generated again.
        table: CSV with a row a training set.
        cases: CSV with a row a network and test slice.
        figure: PNG with test slices and the Dice of each training set.
    """
    config = evaluate_augmentation
    sources = {
        split: _sources(load_manifests(register), load_manifests(masks), config, split)
        for split in ("train", "test")
    }
    train, test, used = _real(sources, config)
    wanted = _masks_to_use(sources[config.masks_from], used, config)
    synthetic = _synthetic(wanted, model, slices, (segment, sample.seed, sampling, evaluate_masks, config))
    train, synthetic, test = (
        [resize_slice(one, config.image_size) for one in kind] for kind in (train, synthetic, test)
    )
    sets = dict(zip(ARMS, (train, synthetic, [*train, *synthetic]), strict=True))
    counts = f"{len(train)} real and {len(synthetic)} synthetic slices to train on, {len(test)} to test"
    log.info("%s of %s", counts, config.structure)
    if not (train and synthetic and test):
        log.warning("training sets cannot be compared: %s", counts)
        write_text_atomically(table, pd.DataFrame(columns=table_columns()).to_csv(index=False))
        write_text_atomically(cases, pd.DataFrame(columns=CASES_COLUMNS).to_csv(index=False))
        _write(figure, nothing_png(f"{STRUCTURE_WORDS[config.structure]}: {counts}"))
        return
    rows, found = _trained_and_judged(sets, test, config)
    judge = PEOPLE if config.public else ", ".join(sorted({source.segmenter for source in sources["test"]}))
    sizes = {
        arm: {
            "num_real": len(train) * (arm != "synthetic"),
            "num_synthetic": len(synthetic) * (arm != "real"),
        }
        | {"structure": config.structure, "segmenter": judge, "num_steps": config.num_steps}
        for arm in ARMS
    }
    frame = pd.DataFrame(rows).assign(segmenter=judge)[CASES_COLUMNS]
    means = compare_arms(frame, sizes, num_draws=config.num_draws, seed=config.seed)
    write_text_atomically(cases, frame.to_csv(index=False, float_format="%.5g"))
    write_text_atomically(table, means.to_csv(index=False, float_format="%.5g"))
    examples = {"real": train[:2], "SYNTHETIC": synthetic[:2]}
    _write(figure, augmentation_png(examples, _shown(test, found), means, frame))


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda partial: partial.write_bytes(content))


def _sources(
    register: Sequence[Manifest], masks: Sequence[Manifest], config: EvaluateAugmentationConfig, split: Split
) -> list[Source]:
    """Return the cases of a split that have the structure on a slice that is large enough."""
    volumes = {
        case: (manifest.path(case, "ct.nii.gz"), record.facts)
        for manifest in register
        for case, record in manifest.usable().items()
    }
    name = "lobe_labels" if config.structure == "lobes" else config.structure
    found = []
    for manifest in masks:
        for case, record in manifest.usable().items():
            state = record.facts["masks"].get(config.structure, {}).get("state")
            if state != "present" or case not in volumes or volumes[case][1]["split"] != split:
                continue
            region = read_made_labels(manifest.path(case, f"{name}.nii.gz"))
            index = largest_slice(region.binary(), region.spacing_mm, config.min_area_mm2)
            if index is not None:
                volume, facts = volumes[case]
                given, of = (manifest.path(case, f"{one}.nii.gz") for one in (config.structure, name))
                tool = record.facts["masks"][config.structure]["tool"]
                found.append(Source(case, facts["subject"], index, volume, given, of, tool))
    return sorted(found, key=lambda source: source.case)


def _real(
    sources: Mapping[str, list[Source]], config: EvaluateAugmentationConfig
) -> tuple[Slices, Slices, set[str]]:
    """Return the real slices to train on and to test, and the cases of the cohort that are trained on."""
    if config.public is not None:
        public = config.public
        train, test = read_slice_set(public.folder, public.split, config.structure, pixel_mm=public.pixel_mm)
        kept = set(draw_names([one.name for one in train], config.max_real, config.seed))
        return [one for one in train if one.name in kept], test, set()
    used = set(draw_names([source.case for source in sources["train"]], config.max_real, config.seed))
    return (
        [source.real() for source in sources["train"] if source.case in used],
        [source.real() for source in sources["test"]],
        used,
    )


def _masks_to_use(
    sources: Sequence[Source], used: set[str], config: EvaluateAugmentationConfig
) -> list[Source]:
    """Return whose masks volumes are generated from: of cases that are not trained on, if there are enough."""
    others = [source.case for source in sources if source.case not in used]
    enough = config.max_synthetic is not None and len(others) >= config.max_synthetic
    chosen = set(
        draw_names(
            others if enough else [source.case for source in sources], config.max_synthetic, config.seed
        )
    )
    return [source for source in sources if source.case in chosen]


def _synthetic(
    sources: Sequence[Source],
    model: Path,
    manifest: Path,
    settings: tuple[SegmentConfig, int, Sampling, EvaluateMasksConfig, EvaluateAugmentationConfig],
) -> Slices:
    """Generate a volume from each mask and keep its slice; what is there already stays."""
    segment, seed, sampling, evaluate_masks, config = settings
    made_by: dict[str, Any] = {"model": sha256_of(model), "sampling": asdict(sampling), "seed": seed}
    made_by |= {"structure": config.structure, "relabel": config.relabel}
    if config.relabel:
        tools = {**segment.tools, **evaluate_masks.tools}
        segment = segment.model_copy(update={"tools": tools})
        made_by["segment"] = segment.model_dump(mode="json")
    work = [
        CaseWork(source.case, [source.index, *map(sha256_of, (source.given, source.region))], source)
        for source in sources
    ]
    with ExitStack() as held:
        tool = held.enter_context(closing(_finder(config.structure, segment))) if config.relabel else None
        generator = _Generator(seed, sampling, model.parent, config.structure, tool)
        process_shard(
            "evaluate_augmentation",
            manifest,
            work,
            lambda case, folder: generator.write(case.inputs, folder),
            settings=canonical_json(made_by),
        )
    made = load_manifest(manifest)
    return [_read_synthetic(made, case) for case in made.usable()]


def _read_synthetic(made: Manifest, case: str) -> LabelledSlice:
    facts = made.records[case].facts
    hu, mask = (np.load(made.path(case, name), allow_pickle=False) for name in FILES)
    height_mm, width_mm = facts["spacing_mm"]
    return LabelledSlice(case, facts["subject"], hu, mask, (height_mm, width_mm))


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
        self, seed: int, sampling: Sampling, folder: Path, structure: Structure, tool: Segmenter | None
    ) -> None:
        self.folder, self.structure, self.tool = folder, structure, tool
        self.seed, self.sampling = seed, sampling

    @cached_property
    def pipeline(self) -> MedSyn2Pipeline:
        return MedSyn2Pipeline.from_pretrained(self.folder)

    def write(self, source: Source, folder: Path) -> Mapping[str, Any]:
        """Write the slice and its mask; return what the record says of them."""
        seed = derive_seed(self.seed, source.case, f"augmentation {self.structure}")
        mask = read_made_labels(source.given)
        words = STRUCTURE_WORDS[self.structure]
        made = self.pipeline(mask=mask, mask_text=words, seed=seed, sampling=self.sampling)
        asked = read_made_labels(source.region).binary()
        facts: dict[str, Any] = {"subject": source.patient, "index": source.index, "seed": seed}
        target = asked
        if self.tool is not None:
            target = segmented_again(made.volume, self.structure, self.tool)
            facts["dice_requested"] = dice(target[source.index], asked[source.index])
        for name, values in zip(FILES, (made.volume.hu, target), strict=True):
            np.save(folder / name, values[source.index])
        return {**facts, "spacing_mm": made.volume.spacing_mm[1:]}


def _slice(case: str, patient: str, volume: CTVolume, mask: LabelMap, index: int) -> LabelledSlice:
    _, height_mm, width_mm = volume.spacing_mm
    return LabelledSlice(case, patient, volume.hu[index], mask.binary()[index], (height_mm, width_mm))


def _trained_and_judged(
    sets: Mapping[str, Slices], test: Slices, config: EvaluateAugmentationConfig
) -> tuple[list[dict[str, object]], dict[str, np.ndarray]]:
    """Train each network; return the rows of all, and by training set what the first seed's finds."""
    how = SegmenterTraining(
        config.num_steps, config.batch_size, config.learning_rate, config.channels, config.num_levels
    )
    rows: list[dict[str, object]] = []
    found: dict[str, np.ndarray] = {}
    runs = [(arm, seed) for arm in sets for seed in range(config.num_seeds)]
    for arm, seed in tqdm(runs, desc="augmentation", unit="network"):
        start = derive_seed(config.seed, "augmentation", str(seed))
        network = train_segmenter(sets[arm], how, seed=start, device=str(available_device()))
        maps = probabilities(network, test)
        rows += judge_slices(maps, test, arm=arm, seed=seed, tolerance_mm=config.surface_tolerance_mm)
        found.setdefault(arm, maps >= THRESHOLD)
    return rows, found


def _shown(test: Slices, found: Mapping[str, np.ndarray]) -> list[JudgedSlice]:
    return [
        JudgedSlice(one, {arm: (masks[place], dice(masks[place], one.mask)) for arm, masks in found.items()})
        for place, one in enumerate(test[:NUM_SHOWN])
    ]
