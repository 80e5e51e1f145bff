"""Rows of Table 1, for the workflow's own samples and for anybody's folders alike."""

from dataclasses import asdict

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.evaluation.features.banks import Bank
from medsyn2.evaluation.features.extractors import FeatureExtractor, RandomBank
from medsyn2.evaluation.features.protocols import PLANES, Protocol, named_protocol
from medsyn2.evaluation.features.radimagenet import load_radimagenet
from medsyn2.evaluation.fidelity.fidelity import fidelity


def protocol_of(grid: GridConfig, config: EvaluateFidConfig) -> Protocol:
    """Return the configured protocol."""
    return named_protocol(config.protocol, clip_hu=grid.clip_hu, num_slices=config.slices_per_volume)


def extractor_of(config: EvaluateFidConfig) -> FeatureExtractor:
    """Return the extractor: RadImageNet's if its weights are given, else the weight-free one."""
    if config.radimagenet is None:
        return RandomBank(config.seed)
    return load_radimagenet(config.radimagenet, device=config.device)


def table_rows(
    window: str, real: Bank, synthetic: Bank, config: EvaluateFidConfig
) -> list[dict[str, object]]:
    """Return the rows of one window and source: the three planes and their mean."""
    parts = [f"{window}/{plane}" for plane in PLANES]
    found = fidelity(
        real, synthetic, parts, num_draws=config.num_draws, neighbours=config.neighbours, seed=config.seed
    )
    facts = {
        "num_real": len(real.ids),
        "num_synthetic": len(synthetic.ids),
        "num_patients": len(set(real.patients)),
        "protocol": real.facts.protocol["name"],
        "protocol_sha256": real.facts.protocol_sha256[:12],
        "extractor": real.facts.extractor,
        "compares_with": real.facts.comparable,
    }
    return [
        {
            "window": window,
            "condition": synthetic.facts.source,
            "plane": part.removeprefix(f"{window}/"),
            **asdict(row),
            **facts,
        }
        for part, row in found.items()
    ]
