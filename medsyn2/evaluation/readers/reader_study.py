"""The tables of a reader study, from the readers' answers and the key.

Graded questions (``report``, ``mask``, ``finding``) have the levels match, partial, not; with both report and mask,
``report and mask`` is the worse of the two, as counted in the paper's Tables 4 and 8. A repeated case counts once, with
its first answer; the second serves the agreement within a reader.

The question ``origin`` is a Turing test: an accuracy of one half means that real and synthetic are not told apart, and
so does an area under the curve of one half, with the confidence as the score.

Synthetic images are non-inferior if the lower end of the 95 % interval of the difference of match rates lies above
minus a margin fixed beforehand. An interval that includes 0 does not show it. A reader who has not read every case gets
no verdict: stopping early may depend on the cases seen.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from medsyn2.errors import TableError
from medsyn2.evaluation.statistics.classification import auroc
from medsyn2.evaluation.statistics.raters import agreement, newcombe, wilson

GRADES = ("match", "partial", "not")
SOURCES: tuple[Literal["real"], Literal["synthetic"]] = ("real", "synthetic")
BOTH = "report and mask"
_GRADED = ("report", "mask", "finding")
TURING = ("origin", "confidence")
"""The columns that a Turing test needs."""


def join_key(answers: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame:
    """Join answers with the key: a row a reading, with ``source``, ``pathology`` and ``again`` (a repeat).

    Args:
        answers: Columns reader, position, case and the questions', for one study.
        key: Columns source and pathology, by case.

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
    found = ordered.join(key[["source", "pathology"]], on="case")
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
            low, high = wilson(number["match"], len(group))
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
            low, high = wilson(right, len(group))
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


def agreements(found: pd.DataFrame, *, num_draws: int, seed: int) -> pd.DataFrame:
    """Return the agreement of each pair of readers, and within each reader on repeats, with 95 % intervals."""
    rows = []
    for question in _questions_with_grades(found):
        for names, pair in _pairs(found, question):
            for source in ("all", *SOURCES):
                chosen = pair if source == "all" else pair[pair["source"] == source]
                if len(chosen) >= 2:
                    first, second = (_levels(chosen[side]) for side in ("first", "second"))
                    row = {"question": question, **names, "source": source}
                    rows.append(row | _with_intervals(first, second, num_draws, seed))
    return pd.DataFrame(rows)


def non_inferiority(found: pd.DataFrame, *, margin: float, num_unread: Mapping[int, int]) -> pd.DataFrame:
    """Return, for each question and reader, the difference of match rates, synthetic minus real, and the verdict.

    Args:
        found: From `join_key`.
        margin: Largest accepted loss of the match rate, such as 0.15.
        num_unread: Unread cases by reader; a reader with any gets no verdict.
    """
    rows = []
    first = found[~found["again"]]
    for question in _questions_with_grades(found):
        for reader in sorted(set(first["reader"].astype(int).tolist())):
            mine = first[first["reader"] == reader]
            of = {
                source: (int((group[question] == "match").sum()), len(group))
                for source, group in mine.groupby("source")
            }
            if set(of) == set(SOURCES):
                difference, low, high = newcombe(of["synthetic"], of["real"])
                left = num_unread.get(reader, 0)
                rows.append(
                    {
                        "question": question,
                        "reader": reader,
                        "num_real": of["real"][1],
                        "num_synthetic": of["synthetic"][1],
                        "difference": difference,
                        "low": low,
                        "high": high,
                        "margin": margin,
                        "num_unread": left,
                        "non_inferior": None if left else low > -margin,
                    }
                )
    return pd.DataFrame(rows)


def _pairs(found: pd.DataFrame, question: str) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """Yield, for each two readings of the same cases, their readers and both answers."""
    by_reader = dict(iter(found.groupby("reader")))
    once = {reader: mine[~mine["again"]].set_index("case") for reader, mine in by_reader.items()}
    for one, other in combinations(once, 2):
        shared = once[one][["source", question]].join(once[other][question].rename("second"), how="inner")
        yield {"reader": one, "other": other}, shared.rename(columns={question: "first"})
    for reader, mine in by_reader.items():
        second = mine[mine["again"]].drop_duplicates("case").set_index("case")[question].rename("second")
        shared = once[reader][["source", question]].join(second, how="inner")
        yield {"reader": reader, "other": reader}, shared.rename(columns={question: "first"})


def _with_intervals(first: np.ndarray, second: np.ndarray, num_draws: int, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    draws = (rng.integers(0, len(first), len(first)) for _ in range(num_draws))
    drawn = [agreement(first[draw], second[draw], len(GRADES)) for draw in draws]
    value = asdict(agreement(first, second, len(GRADES)))
    for name in ("kappa", "kappa_quadratic", "ac1"):
        of = np.array([getattr(one, name) for one in drawn])
        known = of[np.isfinite(of)]
        ends = np.percentile(known, (2.5, 97.5)) if len(known) else (np.nan, np.nan)
        value |= {f"{name}_low": float(ends[0]), f"{name}_high": float(ends[1])}
    return value


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
