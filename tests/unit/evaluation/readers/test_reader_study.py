"""The paper's tables come out of its own counts; agreement and the Turing test out of answers that are known."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from medsyn2.errors import TableError
from medsyn2.evaluation.paper.printed import PRINTED
from medsyn2.evaluation.readers.reader_plan import Plan
from medsyn2.evaluation.readers.reader_study import (
    GRADES,
    agreements,
    counts,
    join_key,
    main_question,
    non_inferiority,
    turing,
    unread_cases,
)


def paper() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The answers that Table 8 counts, in some order, and a key for them."""
    answers, key = [], {}
    for reader in (1, 2):
        for source in ("real", "synthetic"):
            for pathology, row in PRINTED["8"].iterrows():
                numbers = [int(row[f"R{reader} {source.title()} {grade}"]) for grade in GRADES]
                for index, grade in enumerate(np.repeat(GRADES, numbers)):
                    case = f"{source}-{pathology}-{index}"
                    key[case] = {"source": source, "pathology": pathology, "patient": case}
                    answers.append({"reader": reader, "position": len(answers), "case": case, "report": grade})
    return pd.DataFrame(answers), pd.DataFrame.from_dict(key, orient="index")


def study(num: int, given: Mapping[str, object], again: int = 0) -> pd.DataFrame:
    """A reader's answers to cases 0 .. num - 1, half of them synthetic, the first ones twice."""
    cases = [*range(num), *range(again)]
    answers = pd.DataFrame({"reader": 1, "position": range(len(cases)), "case": [str(c) for c in cases], **given})
    names = [str(c) for c in range(num)]
    key = {"source": ["real", "synthetic"] * (num // 2), "pathology": "nodules", "patient": names}
    return join_key(answers, pd.DataFrame(key, index=names))


def test_table_8_gives_table_4() -> None:
    found = counts(join_key(*paper()), ["reader", "source"]).set_index(["reader", "source"])
    for (reader, source), row in found.iterrows():
        printed = PRINTED["4"].loc[f"R{reader}_{source.title()}"]
        assert [row[grade] for grade in GRADES] == list(printed)
        assert row["num"] == 75


def test_table_8_is_drawn_again() -> None:
    found = counts(join_key(*paper()), ["reader", "source", "pathology"])
    assert len(found) == 20
    row = found.set_index(["reader", "source", "pathology"]).loc[(2, "synthetic", "GGO")]
    assert [row[grade] for grade in GRADES] == [3, 11, 1]
    assert row["low"] < row["match_share"] == 0.2 < row["high"]


def verdict(margin: float, num_unread: Mapping[int, int] = {}) -> pd.DataFrame:
    return non_inferiority(join_key(*paper()), Plan("report", margin), num_unread=num_unread)


def test_the_paper_s_own_counts_do_not_show_non_inferiority() -> None:
    found = verdict(0.15)
    assert found[["reader", "role"]].to_numpy().tolist() == [["all", "verdict"], [1, "exploration"], [2, "exploration"]]
    assert found["difference"].to_numpy() == pytest.approx([-0.12] * 3)
    assert found.loc[1:, "low"].to_numpy() == pytest.approx([-0.280, -0.282], abs=1e-3)
    assert found.loc[0, "low"] > found.loc[1, "low"]
    assert found["verdict"].tolist() == ["non-inferiority not shown", "", ""]
    assert verdict(0.3)["verdict"].tolist() == ["non-inferior", "", ""]


def test_there_is_no_verdict_while_a_planned_case_is_unread() -> None:
    found = verdict(0.3, {2: 3}).set_index("reader")
    assert found["num_unread"].tolist() == [3, 0, 3]
    assert found.loc["all", "verdict"] == "no verdict: 3 cases are unread"


def test_one_question_has_the_verdict_and_the_others_are_exploration() -> None:
    assert main_question(()) == "finding"
    assert main_question({"mask"}) == "mask"
    plan = Plan(main_question({"report", "mask"}), 0.15)
    found = non_inferiority(study(8, {"report": "match", "mask": "match"}), plan, num_unread={})
    assert found["question"].tolist() == ["report and mask"] * 2 + ["report"] * 2 + ["mask"] * 2
    assert found["role"].tolist() == ["verdict"] + ["exploration"] * 5


def test_what_was_planned_and_not_read_is_listed() -> None:
    found = study(4, {"finding": "match"})
    assert unread_cases(found, [["0", "1", "2", "3"]]).empty
    left = unread_cases(found, [["0", "5", "1", "2", "3", "1"], ["3"]])
    assert left.to_numpy().tolist() == [[1, "5", False], [1, "1", True], [2, "3", False]]
    with pytest.raises(TableError, match="readers 1 to 0, not 1"):
        unread_cases(found, [])


def test_report_and_mask_together_are_the_worse_of_both() -> None:
    found = study(4, {"report": ["match", "match", "not", "partial"], "mask": ["match", "not", "match", "partial"]})
    assert list(found["report and mask"]) == ["match", "not", "not", "partial"]
    assert set(counts(found, ["reader"])["question"]) == {"report", "mask", "report and mask"}


def test_a_repeat_counts_once_and_measures_the_reader() -> None:
    first = ["match", "not", "partial", "match", "not", "partial"]
    found = study(6, {"finding": [*first, "match", "not", "match"]}, again=3)
    assert counts(found, ["reader"])["num"].tolist() == [6]
    own = agreements(found).query("source == 'all'").iloc[0]
    assert (own["reader"], own["other"], own["num"]) == (1, 1, 3)
    assert own["same"] == pytest.approx(2 / 3)


def test_two_readers_alike_and_not() -> None:
    answers, key = paper()
    alike = pd.concat([answers[answers["reader"] == 1].assign(reader=reader) for reader in (1, 2)])
    same = agreements(join_key(alike, key))
    assert same["kappa"].tolist() == [1, 1, 1]
    assert same["source"].tolist() == ["all", "real", "synthetic"]
    assert same["kappa_low"].isna().all()
    paired = agreements(join_key(answers, key)).set_index("source").loc["all"]
    assert paired["kappa_quadratic_low"] < paired["kappa_quadratic"] < paired["kappa_quadratic_high"]


@pytest.mark.parametrize(("origin", "accuracy", "auroc"), [("right", 1, 1), ("wrong", 0, 0), ("real", 0.5, 0.5)])
def test_turing(origin: str, accuracy: float, auroc: float) -> None:
    said = {"right": ["real", "synthetic"], "wrong": ["synthetic", "real"], "real": ["real", "real"]}[origin]
    found = turing(study(20, {"finding": "match", "origin": said * 10, "confidence": "3"}))
    assert found["pathology"].tolist() == ["nodules", "all"]
    assert found["accuracy"].tolist() == [accuracy, accuracy]
    assert found["auroc"].tolist() == [auroc, auroc]
    assert (found["low"] <= accuracy).all()
    assert (found["high"] >= accuracy).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"case": "nobody"}, "does not know"),
        ({"report": "perhaps"}, "column report"),
        ({"position": 0}, "twice"),
        ({"report": None}, "column report"),
    ],
)
def test_wrong_answers_are_refused(change: Mapping[str, object], message: str) -> None:
    answers, key = paper()
    with pytest.raises(TableError, match=message):
        join_key(answers.assign(**change), key)
    with pytest.raises(TableError, match="no column report, mask or finding"):
        join_key(answers.drop(columns="report"), key)
