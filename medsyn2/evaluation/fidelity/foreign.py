"""Features that another program made, such as those of a network for volumes, compared as banks.

The patients of a comparison are few beside the features of a network, 2,048 or so. The Frechet distance then is its
bias: with 2,048 features of a volume, measured on sixteen public CTs, a blur of 2 mm needs about 16 patients a side to
show, an orientation 64, vessels 500. It is left out below 64. The kernel distance of `mmd` has its floor at any count.

Whether a volume is a copy is no question to such features: they are made to be blind to what tells two CTs of one kind
apart. The search for copies (`memorisation`) uses its own.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from math import nan

from medsyn2.config import EvaluateFidConfig
from medsyn2.evaluation.features.banks import Bank, check_comparable
from medsyn2.evaluation.fidelity.fidelity import Fidelity, fidelity, halves
from medsyn2.evaluation.fidelity.views import Views
from medsyn2.facts import REAL

MIN_FRECHET_PATIENTS = 64


def bank_rows(real: Bank, synthetic: Bank, config: EvaluateFidConfig) -> Iterator[dict[str, object]]:
    """Yield a row for each part: of one half of the real patients against the other, then of both banks.

    Raises:
        EnvironmentFault: If the banks are of different extractors, protocols or parts.
    """
    check_comparable(real, synthetic)
    pairs = {REAL: halves(real, config.seed), synthetic.facts.source: (real, synthetic)}
    for source, pair in pairs.items():
        if pair is not None:
            yield from _rows(source, *pair, config)


def _rows(source: str, real: Bank, synthetic: Bank, config: EvaluateFidConfig) -> Iterator[dict[str, object]]:
    parts = sorted(real.parts)
    draws = {"num_draws": config.num_draws, "neighbours": config.neighbours, "seed": config.seed}
    found = fidelity(Views(real), Views(synthetic), parts, **draws)
    sizes = [len(set(bank.patients)) for bank in (real, synthetic)]
    for part in parts:
        row = found[part] if min(sizes) >= MIN_FRECHET_PATIENTS else _without_frechet(found[part])
        yield {
            "part": part,
            "condition": source,
            **asdict(row),
            "flag": row.flag,
            "num_real": len(real.ids),
            "num_synthetic": len(synthetic.ids),
            "num_patients": sizes[0],
            "num_shared_patients": len({*real.patients} & {*synthetic.patients}),
            "extractor": real.facts.extractor,
            "compares_with": real.facts.comparable,
        }


def _without_frechet(row: Fidelity) -> Fidelity:
    return replace(
        row, fid=nan, fid_low=nan, fid_high=nan, fid_infinity=nan, fid_at_floor=nan, floor=nan, floor_patients=0
    )
