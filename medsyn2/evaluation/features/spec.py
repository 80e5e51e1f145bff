"""The configured features: a protocol, an extractor and the windows that are used."""

from dataclasses import dataclass

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.evaluation.features.extractors import FeatureExtractor, RandomBank
from medsyn2.evaluation.features.protocols import Protocol, make_protocol
from medsyn2.evaluation.features.radimagenet import load_radimagenet


@dataclass(frozen=True)
class FeatureSpec:
    """How features are made from a volume."""

    protocol: Protocol  # Preparation of the volume
    extractor: FeatureExtractor  # Turns its slices into features
    windows: tuple[str, ...]  # Windows of the protocol that are used


def make_spec(grid: GridConfig, config: EvaluateFidConfig, windows: tuple[str, ...]) -> FeatureSpec:
    """Return the configured protocol and extractor for some windows."""
    return FeatureSpec(protocol_of(grid, config), extractor_of(config), windows)


def protocol_of(grid: GridConfig, config: EvaluateFidConfig) -> Protocol:
    """Return the configured protocol."""
    return make_protocol(config.protocol, clip_hu=grid.clip_hu, num_slices=config.slices_per_volume)


def extractor_of(config: EvaluateFidConfig) -> FeatureExtractor:
    """Return the extractor: RadImageNet's if its weights are given, else the weight-free one."""
    if config.radimagenet is None:
        return RandomBank(config.seed)
    return load_radimagenet(config.radimagenet, device=config.device)
