"""What the tables and figures take: volumes that are sampled for them, segmented again, or go through the tokenizer."""

from collections.abc import Iterator

import torch

from medsyn2.config import Config
from medsyn2.metrics.augmentation import ARMS
from medsyn2.metrics.memorisation import THUMBNAIL
from medsyn2.nn.cost import cost_of, simulated
from medsyn2.nn.unet2d import UNet2d
from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost, added
from medsyn2.planning.passes import Networks
from medsyn2.planning.preparation import segmenting
from medsyn2.planning.sampling import Sampling
from medsyn2.planning.workload import Workload
from medsyn2.training.segmenter import segmentation_loss


def evaluation_costs(networks: Networks, work: Workload, sampled: Sampling) -> Iterator[Cost]:
    """Yield the costs of the stages from evaluate_fid on.

    Args:
        networks: Of the configuration.
        work: The cohort.
        sampled: What sampling takes with them.
    """
    config = networks.config
    on_grid = 0.6 * GB + costs.GRID_BYTES_PER_VOXEL * work.grid_voxels
    reading_s = sampled.volumes * costs.INVENTORY_S_PER_MVOXEL * work.grid_voxels / 1e6
    reading = f"reading alone takes {reading_s:.0f} CPU s"
    yield Cost("evaluate_fid", 1, None, memory_bytes=on_grid, basis=reading)
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


def _reconstructed(config: Config, work: Workload) -> int:
    """Return how many cases evaluate_tokenizer reconstructs."""
    kept = config.evaluate_tokenizer.max_cases
    return work.test_cases if kept is None else min(work.test_cases, kept)


def _masks(config: Config, work: Workload) -> Cost:
    asked = set(config.sample.structures) & set(config.evaluate_masks.structures)
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
    with simulated():
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
