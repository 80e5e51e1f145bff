"""Which stages ask for a GPU, by what their networks and their settings are."""

from collections.abc import Callable, Iterable
from math import prod

from medsyn2.config import Config
from medsyn2.evaluation.features.sizes import takes_all_volumes
from medsyn2.vocabulary import Structure

SMALL_VOXELS = 2**21
"""Volumes up to this size fill neither several cores nor a GPU: their jobs run side by side instead."""

NETWORK_TOOLS = frozenset({"lungmask", "totalsegmentator", "medpseg"})
"""Segmenters that are networks."""

NeedsGpu = Callable[[Config], bool]

NumThreads = Callable[[Config], int]

_SEVERAL = 8
"""Cores that networks and the reading of large volumes can fill."""


def always(config: Config) -> bool:
    """Ask for a GPU whatever the configuration says."""
    return True


def runs_generator(config: Config) -> bool:
    """Ask for a GPU if volumes are large enough for the generator's networks to fill it."""
    return not is_small(config)


def runs_radimagenet(config: Config) -> bool:
    """Ask for a GPU if slices go through RadImageNet there."""
    fid = config.evaluate_fid
    return fid.radimagenet is not None and fid.device != "cpu"


def extracts_itself(config: Config) -> bool:
    """Ask for a GPU if an evaluation extracts features itself: of other generators, or of a protocol's few volumes."""
    alone = bool(config.evaluate_fid.baselines) or not takes_all_volumes(config)
    return runs_radimagenet(config) and alone


def asks_model(config: Config) -> bool:
    """Ask for a GPU if volumes that are large enough to fill it are embedded by the user's own model."""
    return bool(config.evaluate_scores.command) and not is_small(config)


def one(config: Config) -> int:
    """Ask for one core."""
    return 1


def several(config: Config) -> int:
    """Ask for several cores whatever the configuration says."""
    return _SEVERAL


def several_if_large(config: Config) -> int:
    """Ask for several cores if volumes are large; small ones are worked on side by side."""
    return 1 if is_small(config) else _SEVERAL


def segments_cohort(config: Config) -> bool:
    """Ask for a GPU if a segmenter of the cohort is a network that may use one."""
    return _may_use_gpu(config, uses_network_tool(config))


def segments_samples(config: Config) -> bool:
    """Ask for a GPU if generated volumes are segmented again by a network that may use one."""
    chosen = config.evaluate_masks.structures or config.sample.all_structures
    return _may_use_gpu(config, _has_network(config, chosen))


def segments_edits(config: Config) -> bool:
    """Ask for a GPU if edited volumes are segmented again by a network that may use one."""
    return _may_use_gpu(config, _has_network(config, config.evaluate_edits.structures))


def segments_augmentation(config: Config) -> bool:
    """Ask for a GPU if the volumes of the augmentation study are relabelled by a network that may use one."""
    study = config.evaluate_augmentation
    return study.relabel and _may_use_gpu(config, _has_network(config, (study.structure,)))


def uses_network_tool(config: Config) -> bool:
    """Return whether a segmenter of the cohort is a network."""
    return not NETWORK_TOOLS.isdisjoint(config.segment.tools.values())


def is_small(config: Config) -> bool:
    """Return whether the grid is so small that jobs run side by side, on one core each."""
    return prod(config.grid.shape) <= SMALL_VOXELS


def _has_network(config: Config, structures: Iterable[Structure]) -> bool:
    tools = {**config.segment.tools, **config.evaluate_masks.tools}
    return not NETWORK_TOOLS.isdisjoint(tools.get(structure) for structure in structures)


def _may_use_gpu(config: Config, has_network: bool) -> bool:
    return has_network and config.segment.device != "cpu"
