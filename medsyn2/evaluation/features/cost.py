"""The cost of a volume that goes through the extractor in one window."""

from functools import partial

import torch

from medsyn2.config import Config
from medsyn2.evaluation.features.extractors import RandomBank
from medsyn2.evaluation.features.resnet import KERAS, ResNet50Features
from medsyn2.evaluation.features.sizes import RADIMAGENET_BATCH, WEIGHT_FREE_BATCH, SliceSizes, num_tiles
from medsyn2.nn.cost import cost_of, enter_simulation


def pass_cost(config: Config) -> tuple[float, float]:
    """Return the operations of a volume in one window, and the memory of the extractor with a batch of slices."""
    weight_free = config.evaluate_fid.radimagenet is None
    own, sizes = RandomBank(config.evaluate_fid.seed, tiles=num_tiles(config)), SliceSizes.of(config)
    flops = peak = 0.0
    with enter_simulation():
        network = ResNet50Features(KERAS)
        for num, (height, width) in zip(sizes.slices, sizes.shapes, strict=True):
            forward = own.forward if weight_free else network
            one = cost_of(partial(forward, torch.empty(1, *(() if weight_free else (3,)), height, width)))
            flops, peak = flops + num * float(one.flops), max(peak, float(one.peak_bytes))
    return flops, (WEIGHT_FREE_BATCH if weight_free else RADIMAGENET_BATCH) * peak
