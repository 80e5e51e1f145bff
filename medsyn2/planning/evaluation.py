"""What the tables and figures take: volumes that are sampled for them, segmented again, or go through the tokenizer."""

from collections.abc import Iterator
from functools import partial

import torch

from medsyn2.config import Config
from medsyn2.evaluation.augmentation.arms import ARMS
from medsyn2.evaluation.augmentation.slice_segmenter import segmentation_loss
from medsyn2.evaluation.augmentation.unet2d import UNet2d
from medsyn2.evaluation.features.extractors import RandomBank
from medsyn2.evaluation.features.resnet import KERAS, ResNet50Features
from medsyn2.evaluation.memorisation.copies import THUMBNAIL
from medsyn2.nn.cost import cost_of, enter_simulation
from medsyn2.planning import costs
from medsyn2.planning.banks import Banks
from medsyn2.planning.costs import GB, Cost, added
from medsyn2.planning.passes import Networks
from medsyn2.planning.preparation import segmenting
from medsyn2.planning.sampling import Sampling
from medsyn2.planning.workload import Workload
from medsyn2.vocabulary import WINDOWS_HU

_BATCH_OF_OWN, _BATCH_OF_RADIMAGENET = 64, 16


def evaluation_costs(networks: Networks, work: Workload, sampled: Sampling) -> Iterator[Cost]:
    """Yield the costs of the stages from evaluate_fid on.

    Args:
        networks: Of the configuration.
        work: The cohort.
        sampled: What sampling takes with them.
    """
    config = networks.config
    on_grid = 0.6 * GB + costs.GRID_BYTES_PER_VOXEL * work.grid_voxels
    yield _fid(config, work)
    yield _masks(config, work)
    yield _edits(config, work, sampled)
    yield _attention(config, work, sampled)
    yield _augmentation(config, work, sampled)
    yield _tokenizer(networks, work, on_grid)
    yield _memorisation(networks, work, on_grid)
    theirs = config.evaluate_scores.command
    basis = f"what {theirs[0]} takes is not known" if theirs else "nobody measured it"
    yield Cost("evaluate_scores", 1, None, memory_bytes=on_grid, basis=basis)
    yield Cost("report", 1, costs.START_S, basis="the start")


def _fid(config: Config, work: Workload) -> Cost:
    banks = Banks.of(config, work.test_cases, work.shards)
    read_s = banks.passes / len(WINDOWS_HU) * costs.INVENTORY_S_PER_MVOXEL * work.grid_voxels / 1e6
    distance_s = 0.0
    for slices in banks.slices:
        few, many = sorted((banks.real * slices, banks.synthetic * slices))
        if few < banks.width:
            seconds = (2.0 * few * many * banks.width + 4.0 * few**2 * many) * costs.FRECHET_S_PER_FLOP_OF_FEW
        else:
            products = 2.0 * (few + many) * banks.width**2 + 25.0 * banks.width**3
            seconds = products * costs.FRECHET_S_PER_FLOP_OF_MANY
        distance_s += seconds * banks.distances * banks.conditions * len(WINDOWS_HU)
    per_volume, peak = _extraction(config, banks)
    return Cost(
        "evaluate_fid",
        1,
        costs.START_S + read_s + distance_s,
        banks.passes * per_volume,
        memory_bytes=banks.memory_bytes(work.grid_voxels),
        device_bytes=peak,
        disk_bytes=banks.disk_bytes,
        basis=f"at most {banks.passes * sum(banks.slices):,.0f} slices through the extractor, "
        f"{banks.distances * len(banks.slices) * len(WINDOWS_HU) * banks.conditions:,.0f} distances",
    )


def _extraction(config: Config, banks: Banks) -> tuple[float, float]:
    """Return the operations of a volume in one window, and the memory of the extractor with a batch of slices."""
    weight_free = config.evaluate_fid.radimagenet is None
    own = RandomBank(config.evaluate_fid.seed)
    flops = peak = 0.0
    with enter_simulation():
        network = ResNet50Features(KERAS)
        for num, (height, width) in zip(banks.slices, banks.shapes, strict=True):
            run = own.forward if weight_free else network
            one = cost_of(partial(run, torch.empty(1, *(() if weight_free else (3,)), height, width)))
            flops, peak = flops + num * float(one.flops), max(peak, float(one.peak_bytes))
    return flops, (_BATCH_OF_OWN if weight_free else _BATCH_OF_RADIMAGENET) * peak


def _reconstructed(config: Config, work: Workload) -> int:
    """Return how many cases evaluate_tokenizer reconstructs."""
    kept = config.evaluate_tokenizer.max_cases
    return work.test_cases if kept is None else min(work.test_cases, kept)


def _masks(config: Config, work: Workload) -> Cost:
    asked = set(config.sample.structures)
    if config.evaluate_masks.structures is not None:
        asked &= set(config.evaluate_masks.structures)
    cases = work.test_cases
    if config.sample.max_cases is not None:
        cases = min(cases, config.sample.max_cases * work.shards)
    volumes = len(asked) * (2 * cases + min(cases, _reconstructed(config, work)))
    again = segmenting(config, work).times(volumes / max(work.cases, 1))
    return Cost(
        "evaluate_masks",
        1,
        again.cpu_s,
        memory_bytes=again.memory_bytes,
        device_bytes=again.device_bytes,
        basis=f"at most {volumes} volumes segmented; {again.basis}",
    )


def _edits(config: Config, work: Workload, sampled: Sampling) -> Cost:
    edits = config.evaluate_edits
    found = edits.max_cases * len(edits.structures) * (edits.num_seeds + 2)
    made = found + edits.max_cases * (2 * len(edits.progressive) - 1)
    again = segmenting(config, work).times(found / max(work.cases, 1))
    return Cost(
        "evaluate_edits",
        1,
        added(costs.START_S, again.cpu_s),
        made * sampled.volume_flops,
        memory_bytes=max(sampled.cost.memory_bytes, again.memory_bytes),
        device_bytes=max(sampled.cost.device_bytes, again.device_bytes),
        basis=f"at most {made} volumes, {found} of them segmented again",
    )


def _attention(config: Config, work: Workload, sampled: Sampling) -> Cost:
    reports = min(config.evaluate_attention.max_cases, work.test_cases)
    return Cost(
        "evaluate_attention",
        1,
        costs.START_S,
        reports * sampled.volume_flops,
        memory_bytes=sampled.cost.memory_bytes,
        device_bytes=sampled.cost.device_bytes,
        basis=f"{reports} volumes; forming the maps is not counted",
    )


def _augmentation(config: Config, work: Workload, sampled: Sampling) -> Cost:
    settings = config.evaluate_augmentation
    whose = work.train_cases if settings.masks_from == "train" else work.test_cases
    made = whose if settings.max_synthetic is None else min(whose, settings.max_synthetic)
    with enter_simulation():
        network = UNet2d(settings.channels, settings.num_levels)
        slices = torch.empty(settings.batch_size, 1, settings.image_size, settings.image_size)
        step = cost_of(lambda: segmentation_loss(network(slices), torch.zeros_like(slices)).backward())
    networks = len(ARMS) * settings.num_seeds
    again = segmenting(config, work).times(made * settings.relabel / max(work.cases, 1))
    return Cost(
        "evaluate_augmentation",
        1,
        added(costs.START_S, again.cpu_s),
        made * sampled.volume_flops + float(step.flops) * networks * settings.num_steps,
        memory_bytes=sampled.cost.memory_bytes,
        device_bytes=max(sampled.cost.device_bytes, step.peak_bytes),
        basis=f"at most {made} volumes, {networks} networks of {settings.num_steps} steps",
    )


def _tokenizer(networks: Networks, work: Workload, on_grid: float) -> Cost:
    cases = _reconstructed(networks.config, work)
    encoding, decoding = networks.encoding(), networks.decoding()
    return Cost(
        "evaluate_tokenizer",
        1,
        costs.START_S,
        float(encoding.flops + decoding.flops) * cases * 2,
        memory_bytes=on_grid,
        device_bytes=max(encoding.peak_bytes, decoding.peak_bytes),
        basis=f"{cases} cases and their masks",
    )


def _memorisation(networks: Networks, work: Workload, on_grid: float) -> Cost:
    settings = networks.config.evaluate_memorisation
    searched = work.train_cases if settings.max_train is None else min(work.train_cases, settings.max_train)
    decoded, decoding = min(searched, settings.num_copies), networks.decoding()
    return Cost(
        "evaluate_memorisation",
        1,
        None,
        float(decoding.flops) * decoded,
        memory_bytes=on_grid + 4.0 * THUMBNAIL**3 * searched,
        device_bytes=decoding.peak_bytes,
        basis=f"{decoded} cases decoded; nobody measured the rest",
    )
