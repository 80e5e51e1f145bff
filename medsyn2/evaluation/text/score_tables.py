"""Tables of a vision-language model's embeddings: CLIP scores (Table 2) and zero-shot labels (Table 3).

``clip`` has a row a source and partner, with the score of shuffled pairs. ``zero shot`` has a row a source, with all
three averages of F1, and the rows of finding nothing and finding everything.

Sources are banks by name. Two names are reserved for real volumes: ``real`` as acquired, and ``real_on_grid``, brought
to the model's grid. Synthetic volumes lie on that grid, so ``real_on_grid`` is their partner and the set their
thresholds are tuned on; without it ``real`` is. The columns ``against`` and ``thresholds`` name the set. Real volumes
have thresholds tuned on their own kind. In every row, a volume's thresholds come from other patients' volumes only.

The comparison is each synthetic row's difference to that set, over the cases of both, with the patient as the unit. Its
verdict is on one number a table, the score above shuffled pairs or the area under the curve, by an interval whose level
is divided among the synthetic sources (Bonferroni): the chance of a wrong word in a table is at most 5 %. A space in
which the real volumes themselves are not above chance sees nothing to compare, says so in the row, and gives none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from medsyn2.errors import EnvironmentFault, TableError
from medsyn2.evaluation.features.banks import Bank
from medsyn2.evaluation.statistics.classification import (
    VALUES,
    Judgement,
    classification,
    compare,
    intervals,
    labels_to_judge,
    thresholds_of_others,
    trivial,
)
from medsyn2.evaluation.text.clip import RECALLS, FitDifference, fit_difference, label_probabilities, pair_score
from medsyn2.evaluation.text.verdicts import FEW, family_level, sight, verdict
from medsyn2.vocabulary import ABNORMALITY_LABELS

REAL, ON_GRID = "real", "real_on_grid"
TRIVIAL = {"finding nothing": False, "finding everything": True}
ENDS = ("", "_low", "_high")
CLIP_COLUMNS = [
    "source", "score_of", "against", "score", "score_low", "score_high", "shuffled", "above_shuffled",
    "above_shuffled_low", "above_shuffled_high", *(f"minus_real{end}" for end in ENDS), "verdict", "z", "num_pairs",
    "num_patients",
    *(f"{name}_at_{k}{end}" for k in RECALLS for name, ends in (("recall", ENDS), ("chance", ("",))) for end in ends),
    "model",
]  # fmt: skip
ZERO_SHOT_COLUMNS = [
    "source", "verdict", *(f"{name}{part}{end}" for name in VALUES for part in ("", "_minus_real") for end in ENDS),
    "labels", "num_labels", "num_volumes", "num_patients", "thresholds", "model",
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
    level = family_level(_num_synthetic(sources))
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
            if bank.facts.kind == "real":
                row["verdict"] = sight((found["above_shuffled_low"], found["above_shuffled_high"]), 0.0)
            elif target == "T2I":
                row |= _fit_minus_real(fit_difference(bank, sources[against], text, level=level))
            rows.append({**row, "model": bank.facts.extractor})
    return pd.DataFrame(rows, columns=CLIP_COLUMNS)


def _fit_minus_real(found: FitDifference) -> dict[str, object]:
    values = zip(ENDS, (found.value, *found.ends), strict=True)
    return {f"minus_real{end}": value for end, value in values} | {"verdict": verdict(found.adjusted, found.real, 0.0)}


def zero_shot_table(
    sources: Mapping[str, Bank], prompts: Bank, truth: pd.DataFrame, *, truth_of: str, scale: float
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
    level = family_level(_num_synthetic(sources))
    predicted = {name: _predict(bank, prompts, truth, truth_of, scale) for name, bank in sources.items()}
    rows, judged = [], {}
    for name, (probabilities, there) in predicted.items():
        tuned_on = name if sources[name].facts.kind == "real" else against
        owners, patients = (sources[one].patients for one in (tuned_on, name))
        found = probabilities >= thresholds_of_others(*predicted[tuned_on], owners, patients)
        judged[name] = Judgement(probabilities, there, found, patients)
    for name, own in judged.items():
        values, is_real = _values(own), sources[name].facts.kind == "real"
        if is_real:
            values["verdict"] = sight((values["auroc_low"], values["auroc_high"]), 0.5)
        else:
            values |= _minus_real(*_of_both((own, judged[against]), (sources[name].ids, sources[against].ids)), level)
        tuned_on, model = name if is_real else against, sources[name].facts.extractor
        rows.append({"source": name, **values, "thresholds": f"{tuned_on}, other patients", "model": model})
    there, patients = judged[against].truth, judged[against].patients
    for name, positive in TRIVIAL.items():
        probabilities = trivial(*there.shape, positive=positive)
        values = _values(Judgement(probabilities, there, probabilities >= 0.5, patients))
        rows.append({"source": name, **values, "thresholds": "none", "model": "none"})
    return pd.DataFrame(rows, columns=ZERO_SHOT_COLUMNS)


def _num_synthetic(sources: Mapping[str, Bank]) -> int:
    return sum(bank.facts.kind == "synthetic" for bank in sources.values())


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


def _values(judged: Judgement) -> dict[str, Any]:
    """Return scores, intervals and counts by column."""
    labels = labels_to_judge(judged.truth, judged.patients)
    chosen = judged.of_labels(labels)
    values: dict[str, Any] = asdict(classification(chosen))
    for name, ends in intervals(chosen).items():
        values |= dict(zip((f"{name}_low", f"{name}_high"), ends, strict=True))
    counts = {"num_labels": len(labels), "num_volumes": len(judged.truth), "num_patients": len(set(judged.patients))}
    return {**values, "labels": "; ".join(ABNORMALITY_LABELS[label] for label in labels), **counts}


def _of_both(
    judged: tuple[Judgement, Judgement], ids: tuple[Sequence[str], Sequence[str]]
) -> tuple[Judgement, Judgement]:
    """Return the volumes of the cases that both sets have, in one order."""
    places = [{name: index for index, name in enumerate(one)} for one in ids]
    both = [name for name in ids[0] if name in places[1]]
    own, real = (one.of_volumes([place[name] for name in both]) for one, place in zip(judged, places, strict=True))
    return own, real


def _minus_real(own: Judgement, real: Judgement, level: float) -> dict[str, object]:
    """Return the differences to the real volumes of the same cases, and the verdict."""
    labels = labels_to_judge(own.truth, own.patients)
    if not labels:
        return {"verdict": FEW}
    found = compare(own.of_labels(labels), real.of_labels(labels), level=level)
    row: dict[str, object] = {"verdict": verdict(found.adjusted, found.reference, 0.5)}
    for name, value in found.differences.items():
        columns = (f"{name}_minus_real{end}" for end in ENDS)
        row |= dict(zip(columns, (value, *found.ends[name]), strict=True))
    return row


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
