"""The cost of a volume that goes through the extractor in one window."""

from functools import partial

from medsyn2.config import Config
from medsyn2.evaluation.features.sizes import RADIMAGENET_BATCH, WEIGHT_FREE_BATCH, SliceSizes, num_tiles
from medsyn2.planning.kept import keep


def pass_cost(config: Config) -> tuple[float, float]:
    """Return the operations of a volume in one window, and the memory of the extractor with a batch of slices."""
    weight_free, tiles, sizes = config.evaluate_fid.radimagenet is None, num_tiles(config), SliceSizes.of(config)
    settings = (weight_free, tiles, sizes, RADIMAGENET_BATCH, WEIGHT_FREE_BATCH)
    flops, peak_bytes = keep("features", settings, lambda: _simulate(weight_free, tiles, sizes))
    return flops, peak_bytes


def _simulate(weight_free: bool, tiles: int, sizes: SliceSizes) -> tuple[float, float]:
    import torch  # here, as all imports that a kept cost does not need

    from medsyn2.evaluation.features.extractors import RandomBank
    from medsyn2.evaluation.features.resnet import KERAS, ResNet50Features
    from medsyn2.nn.cost import cost_of, enter_simulation

    own = RandomBank(0, tiles=tiles)
    flops = peak = 0.0
    with enter_simulation():
        network = ResNet50Features(KERAS)
        for num, (height, width) in zip(sizes.slices, sizes.shapes, strict=True):
            forward = own.forward if weight_free else network
            one = cost_of(partial(forward, torch.empty(1, *(() if weight_free else (3,)), height, width)))
            flops, peak = flops + num * float(one.flops), max(peak, float(one.peak_bytes))
    return flops, (WEIGHT_FREE_BATCH if weight_free else RADIMAGENET_BATCH) * peak
