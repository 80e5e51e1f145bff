"""Tables of a vision-language model's embeddings: CLIP scores (Table 2) and zero-shot labels (Table 3).

``clip`` has a row a source and partner, with the score of shuffled pairs. ``zero shot`` has a row a source, with all
three averages of F1, and the rows of finding nothing and finding everything.

Sources are banks by name. Two names are reserved for real volumes: ``real`` as acquired, and ``real_on_grid``, brought
to the model's grid. Synthetic volumes lie on that grid, so ``real_on_grid`` is their partner and the set their
thresholds are tuned on; without it ``real`` is. The columns ``against`` and ``thresholds`` name the set. Real volumes
have thresholds tuned on their own kind. In every row, a volume's thresholds come from other patients' volumes only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medsyn2.errors import EnvironmentFault, TableError
from medsyn2.evaluation.features.banks import Bank
from medsyn2.evaluation.statistics.classification import (
    VALUES,
    classification,
    intervals,
    thresholds_of_others,
    trivial,
)
from medsyn2.evaluation.text.clip import RECALLS, label_probabilities, pair_score
from medsyn2.vocabulary import ABNORMALITY_LABELS

REAL, ON_GRID = "real", "real_on_grid"
TRIVIAL = {"finding nothing": False, "finding everything": True}
ENDS = ("", "_low", "_high")
CLIP_COLUMNS = [
    "source", "score_of", "against", "score", "score_low", "score_high", "shuffled", "above_shuffled",
    "above_shuffled_low", "above_shuffled_high", "z", "num_pairs", "num_patients",
    *(f"{name}_at_{k}{end}" for k in RECALLS for name, ends in (("recall", ENDS), ("chance", ("",))) for end in ends),
    "model",
]  # fmt: skip
ZERO_SHOT_COLUMNS = [
    "source", *(f"{name}{end}" for name in VALUES for end in ENDS),
    "num_labels", "num_volumes", "num_patients", "thresholds", "model",
]  # fmt: skip


def clip_table(sources: Mapping[str, Bank], text: Bank, *, seed: int) -> pd.DataFrame:
    """Score every source against its reports, and synthetic ones against the real volumes too.

    Args:
        sources: Embeddings of volumes by name; ``real_on_grid`` or ``real`` is one of them.

    Returns:
        The columns `CLIP_COLUMNS`.

    Raises:
        EnvironmentFault: If embeddings are of two models, no ids pair them, no source is real, or the kind of one
            is not its name's.
    """
    against = _reference(sources)
    rows = []
    for name, bank in sources.items():
        targets = {"T2I": ("reports", text)}
        if bank.facts.kind == "synthetic":
            targets["I2I"] = (against, sources[against])
        for target, (partner, partners) in targets.items():
            found = asdict(pair_score(bank, partners, seed=seed))
            for k, recall in found.pop("recall").items():
                found |= dict(zip((f"recall_at_{k}{end}" for end in ENDS), recall.values(), strict=False))
                found[f"chance_at_{k}"] = recall["chance"]
            row = {"source": name, "score_of": target, "against": partner, **found}
            rows.append({**row, "model": bank.facts.extractor})
    return pd.DataFrame(rows, columns=CLIP_COLUMNS)


def zero_shot_table(
    sources: Mapping[str, Bank],
    prompts: Bank,
    truth: pd.DataFrame,
    *,
    truth_of: str,
    scale: float,
    num_draws: int,
    seed: int,
) -> pd.DataFrame:
    """Judge each source's zero-shot labels.

    Args:
        truth: CT-RATE's 18 columns of 0 and 1, by the ids of the volumes; NaN where a label is not known.
        truth_of: Its source, for messages.

    Returns:
        The columns `ZERO_SHOT_COLUMNS`.

    Raises:
        TableError: If a volume has no row in `truth`.
        EnvironmentFault: If a prompt is missing, the embeddings are of two models, no source is real, or the kind of
            one is not its name's.
    """
    against = _reference(sources)
    drawn = {"num_draws": num_draws, "seed": seed}
    judged = {name: _predict(bank, prompts, truth, truth_of, scale) for name, bank in sources.items()}
    rows = []
    for name, (probabilities, there) in judged.items():
        tuned_on = name if sources[name].facts.kind == "real" else against
        owners, patients = (sources[one].patients for one in (tuned_on, name))
        found = probabilities >= thresholds_of_others(*judged[tuned_on], owners, patients)
        values = _values(probabilities, there, found, patients, **drawn)
        words = {"thresholds": f"{tuned_on}, other patients", "model": sources[name].facts.extractor}
        rows.append({"source": name, **values, **words})
    there, patients = judged[against][1], sources[against].patients
    for name, positive in TRIVIAL.items():
        probabilities = trivial(*there.shape, positive=positive)
        values = _values(probabilities, there, probabilities >= 0.5, patients, **drawn)
        rows.append({"source": name, **values, "thresholds": "none", "model": "none"})
    return pd.DataFrame(rows, columns=ZERO_SHOT_COLUMNS)


def _reference(sources: Mapping[str, Bank]) -> str:
    """Return the name of the real volumes that synthetic ones are compared with."""
    for name, bank in sources.items():
        expected = "real" if name in (REAL, ON_GRID) else "synthetic"
        if bank.facts.kind != expected:
            raise EnvironmentFault(
                f"the bank of {name} says that its volumes are {bank.facts.kind}, expected {expected}.",
                code="bank-kind",
                remedy=f"give real volumes as {REAL} and {ON_GRID} only; or write the bank again with its kind.",
            )
    for name in (ON_GRID, REAL):
        if name in sources:
            return name
    raise EnvironmentFault(
        f"expected a bank of real volumes ({ON_GRID} or {REAL}), got {', '.join(sources) or 'none'}.",
        code="real-missing",
        remedy="embed the real volumes of the same cases too, at least two with reports and one with labels.",
    )


def _values(
    probabilities: Float[np.ndarray, "v k"],
    there: Float[np.ndarray, "v k"],
    found: Bool[np.ndarray, "v k"],
    patients: Sequence[str],
    *,
    num_draws: int,
    seed: int,
) -> dict[str, float]:
    """Return scores, intervals and counts by column."""
    values = asdict(classification(probabilities, there, found))
    numbers = np.unique(np.array(patients), return_inverse=True)[1]
    spread = intervals(probabilities, there, found, numbers, num_draws=num_draws, seed=seed)
    for name, (low, high) in spread.items():
        values |= {f"{name}_low": low, f"{name}_high": high}
    return {**values, "num_volumes": len(there), "num_patients": int(numbers.max()) + 1}


def _predict(
    bank: Bank, prompts: Bank, truth: pd.DataFrame, truth_of: str, scale: float
) -> tuple[Float[np.ndarray, "v k"], Float[np.ndarray, "v k"]]:
    missing = [name for name in bank.ids if name not in truth.index]
    if missing:
        raise TableError(
            f"{truth_of} has no labels of {missing[0]} and {len(missing) - 1} other volumes of {bank.facts.source}.",
            code="labels-missing",
            remedy="give a row for each id of the banks.",
        )
    probabilities = label_probabilities(bank, prompts, ABNORMALITY_LABELS, scale=scale)
    return probabilities, truth.loc[list(bank.ids)].to_numpy(dtype=float)
