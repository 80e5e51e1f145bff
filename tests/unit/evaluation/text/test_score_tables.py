"""Tables of embeddings that are known: volumes at their report, at the opposite of it, and anywhere."""

import numpy as np
import pandas as pd
import pytest

from medsyn2.errors import EnvironmentFault, TableError
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.text.clip import EMBEDDING
from medsyn2.evaluation.text.score_tables import CLIP_COLUMNS, ZERO_SHOT_COLUMNS, clip_table, zero_shot_table
from medsyn2.vocabulary import ABNORMALITY_LABELS

NUM = 24
RNG = np.random.default_rng(0)
IDS = tuple(f"case {index}" for index in range(NUM))
AXES = np.linalg.qr(RNG.normal(size=(40, len(ABNORMALITY_LABELS))))[0].T
TRUTH = RNG.random((NUM, len(ABNORMALITY_LABELS))) < 0.4
REPORTS = (2.0 * TRUTH - 1) @ AXES
LABELS = pd.DataFrame(TRUTH.astype(int), index=list(IDS), columns=list(ABNORMALITY_LABELS))


def bank(rows: np.ndarray, kind: str = "real", ids: tuple[str, ...] = IDS) -> Bank:
    facts = BankFacts(kind, "a test", "projection", "0", "itself", {}, "0", (-1000.0, 1000.0), None)
    part = Part(rows.astype(np.float32), np.arange(len(rows), dtype=np.int32))
    return Bank(facts, ids, ids, {EMBEDDING: part})


SOURCES = {"real": bank(REPORTS), "alike": bank(REPORTS, "synthetic"), "opposite": bank(-REPORTS, "synthetic")}


def prompts() -> Bank:
    names = tuple(f"{label}/{state}" for state in ("present", "absent") for label in ABNORMALITY_LABELS)
    return bank(np.concatenate([AXES, -AXES]), ids=names)


def test_synthetic_sources_are_scored_against_reports_and_real_volumes_real_ones_against_reports() -> None:
    table = clip_table(SOURCES, bank(REPORTS), seed=0)
    assert list(table.columns) == CLIP_COLUMNS
    table = table.set_index(["source", "score_of"])
    expected = {("real", "T2I"): 100.0}
    expected |= {("alike", target): 100.0 for target in ("T2I", "I2I")}
    expected |= {("opposite", target): -100.0 for target in ("T2I", "I2I")}
    assert table["score"].to_dict() == pytest.approx(expected, abs=1e-4)
    assert (table["shuffled"].abs() < 40).all()
    assert table.loc[("alike", "T2I"), "recall_at_1"] == 1
    assert table.loc[("opposite", "T2I"), "recall_at_10"] == 0
    assert (table["chance_at_10"] == 10 / NUM).all()
    assert table["recall_at_50"].isna().all()
    assert (table[["num_pairs", "num_patients"]] == NUM).all(axis=None)


def test_synthetic_volumes_are_held_against_real_ones_on_their_grid_where_there_are() -> None:
    both = {"real": bank(-REPORTS), "real_on_grid": bank(REPORTS), "alike": bank(REPORTS, "synthetic")}
    table = clip_table(both, bank(REPORTS), seed=0).set_index(["source", "score_of"])
    assert table["against"].to_dict() == {
        ("real", "T2I"): "reports",
        ("real_on_grid", "T2I"): "reports",
        ("alike", "T2I"): "reports",
        ("alike", "I2I"): "real_on_grid",
    }
    assert table.loc[("alike", "I2I"), "score"] == pytest.approx(100, abs=1e-4)
    alone = clip_table({**SOURCES}, bank(REPORTS), seed=0).set_index(["source", "score_of"])
    assert alone.loc[("alike", "I2I"), "against"] == "real"


def test_a_name_of_real_volumes_is_of_real_volumes_and_one_is_needed() -> None:
    with pytest.raises(EnvironmentFault, match="bank of real says that its volumes are synthetic"):
        clip_table({"real": bank(REPORTS, "synthetic")}, bank(REPORTS), seed=0)
    with pytest.raises(EnvironmentFault, match="bank of ours says that its volumes are real"):
        clip_table({"real": bank(REPORTS), "ours": bank(REPORTS)}, bank(REPORTS), seed=0)
    with pytest.raises(EnvironmentFault, match="real-missing"):
        clip_table({"alike": SOURCES["alike"]}, bank(REPORTS), seed=0)


def test_labels_are_found_where_the_embedding_says_so_and_trivial_rows_stand_beside() -> None:
    table = zero_shot_table(SOURCES, prompts(), LABELS, truth_of="labels.csv", scale=5.0)
    assert list(table.columns) == ZERO_SHOT_COLUMNS
    table = table.set_index("source")
    assert list(table.index) == [*SOURCES, "finding nothing", "finding everything"]
    assert table.loc["real", ["auroc", "accuracy"]].tolist() == [1, 1]
    assert table.loc["alike", "f1_binary"] == 1
    assert table.loc["opposite", "auroc"] == 0
    assert table.loc["opposite", "accuracy"] < 0.1
    enough = (TRUTH.sum(axis=0) >= 5) & ((~TRUTH).sum(axis=0) >= 5)
    assert table.loc["real", "labels"].split("; ") == [ABNORMALITY_LABELS[k] for k in np.flatnonzero(enough)]
    prevalence = TRUTH[:, enough].mean(axis=0).mean()
    assert table.loc["finding nothing", "accuracy"] == pytest.approx(1 - prevalence)
    assert table.loc["finding everything", "precision"] == pytest.approx(prevalence)
    ends = table.loc["finding nothing", ["accuracy_low", "accuracy", "accuracy_high"]]
    assert ends.is_monotonic_increasing
    assert (table[["num_volumes", "num_patients"]] == NUM).all(axis=None)


def test_thresholds_are_those_of_other_patients_real_volumes() -> None:
    shy = {**SOURCES, "shy": bank(0.01 * REPORTS - 10 * AXES.sum(axis=0), "synthetic")}
    table = zero_shot_table(shy, prompts(), LABELS, truth_of="labels.csv", scale=5.0).set_index("source")
    assert table.loc["shy", "auroc"] > 0.95
    assert table.loc["shy", "recall"] == 0
    assert table.loc["shy", "thresholds"] == "real, other patients"
    moved = {"real_on_grid": bank(0.01 * REPORTS - 10 * AXES.sum(axis=0)), **shy}
    table = zero_shot_table(moved, prompts(), LABELS, truth_of="labels.csv", scale=5.0).set_index("source")
    assert table.loc["shy", "recall"] > 0.9
    on_grid, native = "real_on_grid, other patients", "real, other patients"
    assert table["thresholds"].tolist() == [on_grid, native, on_grid, on_grid, on_grid, "none", "none"]


def test_a_volume_without_labels_is_named() -> None:
    with pytest.raises(TableError, match=r"labels\.csv has no labels of case 0 and 0 other volumes"):
        zero_shot_table(SOURCES, prompts(), LABELS.drop(index="case 0"), truth_of="labels.csv", scale=5.0)


def noisy(seed: int, signal: float = 1.0) -> np.ndarray:
    return signal * REPORTS + 1.5 * np.random.default_rng(seed).normal(size=REPORTS.shape)


def test_synthetic_rows_are_compared_with_the_real_volumes_of_their_cases() -> None:
    some = IDS[:18]
    sources = {
        "real_on_grid": bank(noisy(1)),
        "real": bank(noisy(2)),
        "as good": bank(noisy(3), "synthetic"),
        "half": bank(noisy(3)[:18], "synthetic", some),
        "blind": bank(noisy(4, 0.0), "synthetic"),
    }
    zero_shot = zero_shot_table(sources, prompts(), LABELS, truth_of="labels.csv", scale=5.0).set_index("source")
    words = ["above chance", "above chance", "no difference shown", "no difference shown", "below real"]
    assert zero_shot["verdict"].tolist()[:5] == words
    row = zero_shot.loc["as good"]
    assert row["auroc_minus_real"] == pytest.approx(row["auroc"] - zero_shot.loc["real_on_grid", "auroc"])
    assert row["auroc_minus_real_low"] < row["auroc_minus_real"] < row["auroc_minus_real_high"]
    # Over its own cases and labels, which are fewer.
    alone = {"real_on_grid": bank(noisy(1)[:18], "real", some), "half": sources["half"]}
    alone = zero_shot_table(alone, prompts(), LABELS, truth_of="labels.csv", scale=5.0).set_index("source")
    assert zero_shot.loc["half", "auroc_minus_real"] == pytest.approx(alone.loc["half", "auroc_minus_real"])
    clip = clip_table(sources, bank(REPORTS), seed=0).set_index(["source", "score_of"])
    assert clip.xs("T2I", level=1)["verdict"].tolist() == words
    apart = clip.loc[("blind", "T2I"), "above_shuffled"] - clip.loc[("real_on_grid", "T2I"), "above_shuffled"]
    assert clip.loc[("blind", "T2I"), "minus_real"] == pytest.approx(apart)
    assert clip.loc[("blind", "T2I"), "minus_real_high"] < 0
    assert clip.xs("I2I", level=1)["verdict"].isna().all()


def test_a_space_that_sees_nothing_in_real_volumes_says_so_and_gives_no_verdict() -> None:
    sources = {"real": bank(noisy(5, 0.0)), "ours": bank(noisy(6), "synthetic")}
    zero_shot = zero_shot_table(sources, prompts(), LABELS, truth_of="labels.csv", scale=5.0).set_index("source")
    clip = clip_table(sources, bank(REPORTS), seed=0).set_index(["source", "score_of"])
    for found in (zero_shot["verdict"], clip.xs("T2I", level=1)["verdict"]):
        assert found["real"] == "not above chance: this space sees nothing"
        assert found["ours"] == "no verdict: this space sees nothing in real volumes"
