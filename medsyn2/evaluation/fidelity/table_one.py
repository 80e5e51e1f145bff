"""Rows of Table 1, for the workflow's samples and for any folder alike."""

from dataclasses import asdict

from medsyn2.config import EvaluateFidConfig
from medsyn2.evaluation.features.banks import Bank
from medsyn2.evaluation.features.protocols import PLANES
from medsyn2.evaluation.fidelity.fidelity import fidelity


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
