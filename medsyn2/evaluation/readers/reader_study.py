"""The tables of a reader study, from the readers' answers and the key.

Graded questions (``report``, ``mask``, ``finding``) have the levels match, partial, not; with both report and mask,
``report and mask`` is the worse of the two, as counted in the paper's Tables 4 and 8. A repeated case counts once, with
its first answer; the second serves the agreement within a reader.

The question ``origin`` is a Turing test: an accuracy of one half means that real and synthetic are not told apart, and
so does an area under the curve of one half, with the confidence as the score.

The verdict is that of `reader_plan`: one question, all readers, one test. The same difference for each reader and each
other question is exploration. If a planned case is unread there is no verdict: stopping early may depend on the cases
seen.

All intervals are over patients. Those of shares are Wilson's, with as many patients as would give the shares their
error; those of kappa and its kin come from the values without each patient. They are of single values: none is adjusted
for their number.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from medsyn2.errors import TableError
from medsyn2.evaluation.readers.reader_plan import Cases, Plan, match_difference
from medsyn2.evaluation.statistics.classification import auroc
from medsyn2.evaluation.statistics.intervals import NONE, Interval, interval, jackknife
from medsyn2.evaluation.statistics.raters import agreement, wilson_over_patients

GRADES = ("match", "partial", "not")
SOURCES: tuple[Literal["real"], Literal["synthetic"]] = ("real", "synthetic")
BOTH = "report and mask"
_GRADED = ("report", "mask", "finding")
TURING = ("origin", "confidence")
"""The columns that a Turing test needs."""
VERDICT, EXPLORATION = "verdict", "exploration"
ALL_READERS = "all"
_DIFFERENCE_COLUMNS = [
    "question", "reader", "role", "num_real", "num_synthetic", "num_patients", "difference", "low", "high", "margin",
    "num_unread", "verdict",
]  # fmt: skip
_WITH_INTERVALS = ("kappa", "kappa_quadratic", "ac1")


def main_question(given: Collection[str]) -> str:
    """Return the question of the verdict, for cases with ``report``, ``mask`` or neither."""
    if {"report", "mask"} <= set(given):
        return BOTH
    return next((name for name in ("report", "mask") if name in given), "finding")


def join_key(answers: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    """Join answers with the key: a row a reading, with ``source``, ``pathology``, ``patient`` and ``again`` (a repeat).

    Args:
        answers: Columns reader, position, case and the questions', for one study.
        key: Columns source, pathology and patient, by case.

    Raises:
        TableError: If an answer is for an unknown case or of an unknown level, or a reader's position comes twice.
    """
    columns = {"reader", "position", "case"}
    graded = [name for name in _GRADED if name in answers]
    if missing := columns - set(answers) or (set() if graded else {"report, mask or finding"}):
        raise _answers_error(f"the answers have no column {', '.join(sorted(missing))}")
    if len(unknown := sorted(set(answers["case"]) - set(key.index))):
        raise _answers_error(f"the key does not know the case {unknown[0]} and {len(unknown) - 1} others")
    if answers.duplicated(["reader", "position"]).any():
        raise _answers_error("one reader's answers are given twice; two readers must have different numbers")
    for name, levels in (*((name, GRADES) for name in graded), ("origin", SOURCES)):
        if name in answers and not answers[name].isin(levels).all():
            raise _answers_error(f"a value of the column {name} is none of {', '.join(levels)}")
    ordered = answers.sort_values(["reader", "position"], ignore_index=True)
    found = ordered.join(key[["source", "pathology", "patient"]], on="case")
    if {"report", "mask"} <= set(graded):
        worse = np.maximum(_levels(found["report"]), _levels(found["mask"]))
        found[BOTH] = np.array(GRADES)[worse]
    return found.assign(again=found.duplicated(["reader", "case"]))


def unread_cases(found: pd.DataFrame, orders: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return the planned readings that were not made: ``reader``, ``case``, and ``again`` for a repeat.

    Args:
        found: From `join_key`.
        orders: The cases that each reader was given, in order, from reader 1 on.

    Raises:
        TableError: If answers are of a reader that the study does not have.
    """
    if strangers := sorted(set(found["reader"]) - set(range(1, len(orders) + 1))):
        raise _answers_error(f"the study has the readers 1 to {len(orders)}, not {strangers[0]}")
    rows = []
    for reader, order in enumerate(orders, 1):
        made = Counter(found.loc[found["reader"] == reader, "case"])
        planned: Counter[str] = Counter()
        for case in order:
            planned[case] += 1
            if planned[case] > made[case]:
                rows.append({"reader": reader, "case": case, "again": planned[case] > 1})
    return pd.DataFrame(rows, columns=["reader", "case", "again"])


def counts(found: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Count the cases that match, match in part and do not, with the share of matches (Table 4; by pathology, 8).

    Args:
        found: From `join_key`.
        by: Columns that define the rows, with the question: reader, source, pathology.
    """
    rows = []
    for question in _questions_with_grades(found):
        for names, group in found[~found["again"]].groupby(list(by), sort=True):
            number = {grade: int((group[question] == grade).sum()) for grade in GRADES}
            low, high = wilson_over_patients(group[question] == "match", group["patient"])
            share = {"num": len(group), "match_share": number["match"] / len(group), "low": low, "high": high}
            rows.append({"question": question, **dict(zip(by, _as_tuple(names), strict=True)), **number, **share})
    return pd.DataFrame(rows)


def turing(found: pd.DataFrame) -> pd.DataFrame:
    """Score how well each reader tells real from synthetic, for each pathology and over all.

    ``sensitivity`` is the share of synthetic images called synthetic, ``specificity`` of real ones called real.
    """
    rows: list[dict[str, object]] = []
    if not set(TURING) <= set(found):
        return pd.DataFrame(rows)
    first = found[~found["again"]]
    for reader, mine in first.groupby("reader"):
        for pathology, group in (*mine.groupby("pathology"), ("all", mine)):
            synthetic = (group["source"] == "synthetic").to_numpy()
            said = (group["origin"] == "synthetic").to_numpy()
            right = int((said == synthetic).sum())
            low, high = wilson_over_patients(pd.Series(said == synthetic, group.index), group["patient"])
            score = np.where(said, 1, -1) * group["confidence"].astype(float).to_numpy()
            two = 0 < synthetic.sum() < len(group)
            rows.append(
                {
                    "reader": reader,
                    "pathology": pathology,
                    "num": len(group),
                    "right": right,
                    "accuracy": right / len(group),
                    "low": low,
                    "high": high,
                    "sensitivity": said[synthetic].mean() if two else np.nan,
                    "specificity": (~said[~synthetic]).mean() if two else np.nan,
                    "auroc": auroc(score, synthetic) if two else np.nan,
                }
            )
    return pd.DataFrame(rows)


def agreements(found: pd.DataFrame) -> pd.DataFrame:
    """Return the agreement of each pair of readers, and within each reader on repeats, with 95 % intervals."""
    rows = []
    for question in _questions_with_grades(found):
        for names, pair in _pairs(found, question):
            for source in ("all", *SOURCES):
                chosen = pair if source == "all" else pair[pair["source"] == source]
                if len(chosen) >= 2:
                    rows.append({"question": question, **names, "source": source, **_with_intervals(chosen)})
    return pd.DataFrame(rows)


def non_inferiority(found: pd.DataFrame, plan: Plan, *, num_unread: Mapping[int, int]) -> pd.DataFrame:
    """Return the differences of match rates, synthetic minus real, that of the verdict first.

    Args:
        found: From `join_key`.
        num_unread: Unread cases by reader.
    """
    first = found[~found["again"]]
    asked: list[int | str] = [ALL_READERS, *sorted(set(first["reader"].astype(int).tolist()))]
    others = [name for name in _questions_with_grades(found) if name != plan.question]
    rows = []
    for question in (plan.question, *others):
        for reader in asked:
            mine, left = first, sum(num_unread.values())
            if isinstance(reader, int):
                mine, left = first[first["reader"] == reader], num_unread.get(reader, 0)
            role = VERDICT if (question, reader) == (plan.question, ALL_READERS) else EXPLORATION
            row = {"question": question, "reader": reader, "role": role, "margin": plan.margin, "num_unread": left}
            if apart := _difference(mine, question):
                word = plan.verdict(apart["low"], left) if role == VERDICT else ""
                rows.append({**row, **apart, "verdict": word})
    return pd.DataFrame(rows, columns=_DIFFERENCE_COLUMNS)


def _difference(readings: pd.DataFrame, question: str) -> dict[str, Any]:
    """Return the difference over the cases that all of some readers have read; nothing if they are of one kind."""
    if question not in readings:
        return {}
    grades = readings.pivot(index="reader", columns="case", values=question).dropna(axis="columns")
    by_case = readings.drop_duplicates("case").set_index("case").loc[grades.columns]
    if set(by_case["source"]) != set(SOURCES):
        return {}
    cases = Cases.of(by_case["source"].tolist(), by_case["patient"].tolist())
    apart = match_difference((grades == "match").to_numpy(float), cases)
    return {
        "num_real": int((~cases.synthetic).sum()),
        "num_synthetic": int(cases.synthetic.sum()),
        "num_patients": cases.num_patients,
        "difference": apart.value,
        "low": apart.low,
        "high": apart.high,
    }


def _pairs(found: pd.DataFrame, question: str) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """Yield, for each two readings of the same cases, their readers and both answers."""
    by_reader = dict(iter(found.groupby("reader")))
    once = {reader: mine[~mine["again"]].set_index("case") for reader, mine in by_reader.items()}
    for one, other in combinations(once, 2):
        shared = once[one][["source", "patient", question]].join(once[other][question].rename("second"), how="inner")
        yield {"reader": one, "other": other}, shared.rename(columns={question: "first"})
    for reader, mine in by_reader.items():
        second = mine[mine["again"]].drop_duplicates("case").set_index("case")[question].rename("second")
        shared = once[reader][["source", "patient", question]].join(second, how="inner")
        yield {"reader": reader, "other": reader}, shared.rename(columns={question: "first"})


def _with_intervals(pair: pd.DataFrame) -> dict[str, float]:
    first, second = (_levels(pair[side]) for side in ("first", "second"))

    def values(kept: np.ndarray) -> np.ndarray:
        found = agreement(first[kept], second[kept], len(GRADES))
        return np.array([getattr(found, name) for name in _WITH_INTERVALS])

    row = asdict(agreement(first, second, len(GRADES)))
    estimates, influences = jackknife(values, pair["patient"].tolist())
    for place, name in enumerate(_WITH_INTERVALS):
        row |= dict(zip((f"{name}_low", f"{name}_high"), _ends(estimates[place], influences[place]), strict=True))
    return row


def _ends(value: float, influence: pd.Series) -> Interval:
    """Return the interval of a coefficient; none where all cases are alike, which tells nothing of its error."""
    low, high = interval(value, influence, within=(-1.0, 1.0))
    return NONE if np.isclose(low, high) else (low, high)


def _questions_with_grades(found: pd.DataFrame) -> list[str]:
    return [name for name in (*_GRADED, BOTH) if name in found]


def _levels(values: pd.Series) -> np.ndarray:
    return values.map({grade: level for level, grade in enumerate(GRADES)}).to_numpy(dtype=np.int64)


def _as_tuple(names: object) -> tuple[object, ...]:
    return names if isinstance(names, tuple) else (names,)


def _answers_error(problem: str) -> TableError:
    return TableError(
        f"expected the answers of one study as its page saves them, but {problem}.",
        code="answers-invalid",
        remedy="give each reader's saved file once, and the key that was written with the study's folder.",
    )
