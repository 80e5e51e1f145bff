"""The tables of embeddings that a vision-language model made: CLIP scores (Table 2), zero-shot labels (Table 3).

``clip`` has a row a source and partner, with the score of shuffled pairs beside it. ``zero shot`` has a row a source,
with thresholds tuned on the real volumes, all three averages of F1, and a row each for finding nothing and for
finding everything. Sources are banks by name; the one called ``real`` is what synthetic volumes are scored against
and what thresholds are tuned on.
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from medsyn2.errors import TableError
from medsyn2.metrics.banks import Bank
from medsyn2.metrics.classification import classification, intervals, trivial, tuned_thresholds
from medsyn2.metrics.clip import label_probabilities, pair_score
from medsyn2.vocabulary import ABNORMALITY_LABELS

REAL = "real"


def clip_table(sources: Mapping[str, Bank], text: Bank, *, num_draws: int, seed: int) -> pd.DataFrame:
    """Score every source against its reports, and synthetic ones against the real volumes too.

    Args:
        sources: Embeddings of volumes by name; ``real`` is one of them.
        text: Embeddings of the reports, by the ids of the volumes.
        num_draws: Resamples of patients for the intervals.
        seed: Of the resamples.

    Raises:
        EnvironmentFault: If embeddings are of two models, or no ids pair them.
    """
    rows = []
    for name, bank in sources.items():
        targets = {"T2I": text} if bank.facts.kind == "real" else {"T2I": text, "I2I": sources[REAL]}
        for target, partners in targets.items():
            found = asdict(pair_score(bank, partners, num_draws=num_draws, seed=seed))
            recall = {f"recall_at_{k}": value for k, value in found.pop("recall").items()}
            rows.append(
                {"source": name, "score_of": target, **found, **recall, "model": bank.facts.extractor}
            )
    return pd.DataFrame(rows)


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
        sources: Embeddings of volumes by name; ``real`` is one of them.
        prompts: Embeddings of ``<label>/present`` and ``<label>/absent``.
        truth: CT-RATE's 18 columns of 0 and 1, by the ids of the volumes.
        truth_of: Where it was read, for messages.
        scale: What the model multiplies cosines by.
        num_draws: Resamples of patients for the intervals.
        seed: Of the resamples.

    Raises:
        TableError: If a volume has no row in `truth`.
        EnvironmentFault: If a prompt is missing, or the embeddings are of two models.
    """
    judged = {name: _judged(bank, prompts, truth, truth_of, scale) for name, bank in sources.items()}
    thresholds = tuned_thresholds(*judged[REAL][:2])
    rows = []
    for name, (probabilities, there, patients) in judged.items():
        found = asdict(classification(probabilities, there, thresholds))
        spread = intervals(probabilities, there, thresholds, patients, num_draws=num_draws, seed=seed)
        ends = {f"{key}_low": low for key, (low, _) in spread.items()}
        ends |= {f"{key}_high": high for key, (_, high) in spread.items()}
        model = sources[name].facts.extractor
        rows.append({"source": name, **found, "num_volumes": len(there), **ends, "model": model})
    there = judged[REAL][1]
    for name, positive in (("finding nothing", False), ("finding everything", True)):
        half = np.full(there.shape[1], 0.5)
        found = asdict(classification(trivial(*there.shape, positive=positive), there, half))
        rows.append({"source": name, **found, "num_volumes": len(there), "model": "none"})
    return pd.DataFrame(rows)


def _judged(
    bank: Bank, prompts: Bank, truth: pd.DataFrame, truth_of: str, scale: float
) -> tuple[Float[np.ndarray, "v k"], Bool[np.ndarray, "v k"], Int[np.ndarray, " v"]]:
    missing = [name for name in bank.ids if name not in truth.index]
    if missing:
        raise TableError(
            f"{truth_of} has no labels of {missing[0]} and {len(missing) - 1} other volumes of "
            f"{bank.facts.source}.",
            code="labels-missing",
            remedy="give a row for each id of the banks.",
        )
    probabilities = label_probabilities(bank, prompts, ABNORMALITY_LABELS, scale=scale)
    patients = np.unique(np.array(bank.patients), return_inverse=True)[1]
    return probabilities, truth.loc[list(bank.ids)].to_numpy(dtype=bool), patients
