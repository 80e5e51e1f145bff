"""The cost of comparing features: slices through the extractor, and distances."""

from functools import partial

import torch

from medsyn2.config import Config
from medsyn2.evaluation.features.extractors import RandomBank
from medsyn2.evaluation.features.resnet import KERAS, ResNet50Features
from medsyn2.evaluation.features.sizes import RADIMAGENET_BATCH, WEIGHT_FREE_BATCH
from medsyn2.evaluation.fidelity.memory import Banks
from medsyn2.nn.cost import cost_of, enter_simulation
from medsyn2.planning.costs import INVENTORY_S_PER_MVOXEL, START_S, Cost
from medsyn2.planning.run import PlannedRun
from medsyn2.vocabulary import WINDOWS_HU

SECONDS_PER_FLOP_OF_FEW = 1 / 19e9
"""CPU seconds for each operation of the Frechet distance by singular values, with fewer slices than features: 1.2 s for
1,500 x 2,048 on each side (`benchmarks/metrics.py`)."""

SECONDS_PER_FLOP_OF_MANY = 1 / 68e9
"""The same by moments: 3.7 s for 2,100 x 2,048 on each side (`benchmarks/metrics.py`)."""


def evaluate_fid(run: PlannedRun) -> Cost:
    """Estimate the stage, of the main model."""
    work = run.work
    banks = Banks.of(run.config, work.test_cases, work.test.jobs)
    read_s = banks.passes / len(WINDOWS_HU) * INVENTORY_S_PER_MVOXEL * work.grid_voxels / 1e6
    distances = banks.distances * banks.conditions * len(WINDOWS_HU)
    distance_s = sum(_distance_s(banks, slices) for slices in banks.slices) * distances
    volume_flops, peak_bytes = _extraction(run.config, banks)
    return Cost(
        "evaluate_fid",
        1,
        START_S + read_s + distance_s,
        banks.passes * volume_flops,
        memory_bytes=banks.memory_bytes(work.grid_voxels),
        device_bytes=peak_bytes,
        disk_bytes=banks.disk_bytes,
        basis=f"at most {banks.passes * sum(banks.slices):,.0f} slices through the extractor, "
        f"{distances * len(banks.slices):,.0f} distances",
    )


def _distance_s(banks: Banks, slices: int) -> float:
    """Return the CPU seconds of one Frechet distance on a plane with so many slices a volume."""
    few, many = sorted((banks.real * slices, banks.synthetic * slices))
    if few < banks.width:
        return (2.0 * few * many * banks.width + 4.0 * few**2 * many) * SECONDS_PER_FLOP_OF_FEW
    return (2.0 * (few + many) * banks.width**2 + 25.0 * banks.width**3) * SECONDS_PER_FLOP_OF_MANY


def _extraction(config: Config, banks: Banks) -> tuple[float, float]:
    """Return the operations of a volume in one window, and the memory of the extractor with a batch of slices."""
    weight_free = config.evaluate_fid.radimagenet is None
    own = RandomBank(config.evaluate_fid.seed)
    flops = peak = 0.0
    with enter_simulation():
        network = ResNet50Features(KERAS)
        for num, (height, width) in zip(banks.slices, banks.shapes, strict=True):
            forward = own.forward if weight_free else network
            one = cost_of(partial(forward, torch.empty(1, *(() if weight_free else (3,)), height, width)))
            flops, peak = flops + num * float(one.flops), max(peak, float(one.peak_bytes))
    return flops, (WEIGHT_FREE_BATCH if weight_free else RADIMAGENET_BATCH) * peak
