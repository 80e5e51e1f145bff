"""The recipe of features that the section ``evaluate_fid`` describes, for every evaluation that compares features."""

from collections.abc import Sequence

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.evaluation.features.extraction import Recipe
from medsyn2.evaluation.features.extractors import FeatureExtractor, RandomBank
from medsyn2.evaluation.features.protocols import Protocol, named_protocol
from medsyn2.evaluation.features.radimagenet import load_radimagenet
from medsyn2.vocabulary import WINDOWS_HU, Window


def protocol_of(grid: GridConfig, config: EvaluateFidConfig) -> Protocol:
    """Return the configured protocol."""
    return named_protocol(config.protocol, clip_hu=grid.clip_hu, num_slices=config.slices_per_volume)


def extractor_of(config: EvaluateFidConfig) -> FeatureExtractor:
    """Return the extractor: RadImageNet's if its weights are given, else the weight-free one."""
    if config.radimagenet is None:
        return RandomBank(config.seed)
    return load_radimagenet(config.radimagenet, device=config.device)


def recipe_of(
    grid: GridConfig, config: EvaluateFidConfig, windows: Sequence[Window] = tuple(WINDOWS_HU)
) -> Recipe:
    """Return the configured protocol and extractor, in some HU windows."""
    return Recipe(protocol_of(grid, config), extractor_of(config), tuple(windows))
