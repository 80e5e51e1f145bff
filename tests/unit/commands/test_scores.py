"""Both tables from banks that a seeded projection wrote, as a model's own script would."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.cli import main
from medsyn2.vocabulary import ABNORMALITY_LABELS

NUM = 30
LABELS = len(ABNORMALITY_LABELS)


def write_bank(path: Path, kind: str, ids: list[str], vectors: np.ndarray, model: str = "projection") -> None:
    np.savez(
        path.with_suffix(".npz"),
        **{
            "ids": np.array(ids),
            "patients": np.array([name.split("_")[0] for name in ids]),
            "embedding": vectors.astype(np.float32),
            "embedding.volume": np.arange(len(ids), dtype=np.int32),
        },
    )
    facts = {
        "format": "medsyn2-bank-1", "kind": kind, "source": path.stem, "extractor": model, "extractor_sha256": "0",
        "comparable": "itself", "protocol": {}, "protocol_sha256": "0", "clip_hu": [-1000.0, 1000.0],
        "spacing_mm": None, "sha256": hashlib.sha256(path.with_suffix(".npz").read_bytes()).hexdigest(),
    }  # fmt: skip
    path.write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Labels drive the embeddings through one fixed projection, with more noise for the generator."""
    rng = np.random.default_rng(0)
    ids = [f"p{i // 2}_{i % 2}" for i in range(NUM)]
    truth = rng.random((NUM, LABELS)) < 0.4
    axes = np.linalg.qr(rng.normal(size=(64, LABELS)))[0].T
    clean = (2.0 * truth - 1) @ axes
    write_bank(tmp_path / "real.json", "real", ids, clean + rng.normal(size=(NUM, 64)) * 0.2)
    write_bank(tmp_path / "text.json", "real", ids, clean)
    write_bank(tmp_path / "good.json", "synthetic", ids, clean + rng.normal(size=(NUM, 64)) * 0.4)
    write_bank(tmp_path / "noise.json", "synthetic", ids[:20], rng.normal(size=(20, 64)))
    names = [f"{label}/{state}" for state in ("present", "absent") for label in ABNORMALITY_LABELS]
    write_bank(tmp_path / "prompts.json", "real", names, np.concatenate([axes, -axes]))
    table = pd.DataFrame(truth.astype(int), columns=list(ABNORMALITY_LABELS))
    table.insert(0, "VolumeName", [f"{name}.nii.gz" for name in ids])
    table.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def scores(folder: Path, *options: str) -> int:
    given = ["--real", "real.json", "--text", "text.json", "--synthetic", "good.json", "noise.json", *options]
    paths = [str(folder / one) if "." in one and "-" not in one and not one[0].isdigit() else one for one in given]
    return main(["scores", *paths, "--out", str(folder / "out")])


ZERO_SHOT = ("--labels", "labels.csv", "--prompts", "prompts.json", "--scale", "10")


def test_both_tables_order_sources_as_they_were_made(folder: Path) -> None:
    assert scores(folder, *ZERO_SHOT) == 0
    clip = pd.read_csv(folder / "out" / "clip.csv").set_index(["source", "score_of"])
    assert list(clip.index) == [("real", "T2I"), ("good", "T2I"), ("good", "I2I"), ("noise", "T2I"), ("noise", "I2I")]
    assert clip.loc[("real", "T2I"), "score"] > clip.loc[("good", "T2I"), "score"] > 50
    assert abs(clip.loc[("noise", "T2I"), "score"]) < 15
    assert clip.loc[("good", "I2I"), "recall_at_1"] > 0.9
    zero_shot = pd.read_csv(folder / "out" / "zero_shot.csv").set_index("source")
    assert list(zero_shot.index) == ["real", "good", "noise", "finding nothing", "finding everything"]
    assert zero_shot.loc["real", "auroc"] > zero_shot.loc["good", "auroc"] > 0.8
    assert zero_shot.loc["noise", "auroc"] < 0.65
    assert zero_shot.loc["noise", ["num_volumes", "num_patients"]].tolist() == [20, 10]
    assert zero_shot.loc["good", "auroc_low"] < zero_shot.loc["good", "auroc"]
    assert zero_shot.loc[["real", "noise"], "verdict"].tolist() == ["above chance", "below real"]
    assert clip.loc[("noise", "T2I"), "verdict"] == "below real"
    assert zero_shot.loc["finding nothing", "f1_binary"] == 0


def test_without_labels_there_is_one_table(folder: Path) -> None:
    assert scores(folder) == 0
    assert not (folder / "out" / "zero_shot.csv").exists()


def test_half_a_question_and_missing_labels_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scores(folder, "--labels", "labels.csv") == 2
    assert "[option-without-effect]" in capsys.readouterr().err
    (folder / "labels.csv").write_text(
        "\n".join((folder / "labels.csv").read_text("utf-8").splitlines()[:-3]), encoding="utf-8"
    )
    assert scores(folder, *ZERO_SHOT) == 10
    assert "[labels-missing]" in capsys.readouterr().err
    (folder / "labels.csv").write_text("VolumeName\nx\n", encoding="utf-8")
    assert scores(folder, *ZERO_SHOT) == 10
    assert "[table-columns]" in capsys.readouterr().err


def change_label(folder: Path, value: str, *labels: str) -> None:
    table = pd.read_csv(folder / "labels.csv", dtype=str)
    table.loc[3, list(labels)] = value
    table.to_csv(folder / "labels.csv", index=False)


@pytest.mark.parametrize("value", ["7", "-2", "0.5", "maybe"])
def test_a_label_that_is_none_is_named_with_its_row(
    folder: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    change_label(folder, value, "Atelectasis")
    assert scores(folder, *ZERO_SHOT) == 10
    told = capsys.readouterr().err
    assert f"row 5 of {folder / 'labels.csv'} says of p1_1 that Atelectasis is '{value}', expected 0 or 1" in told
    assert not (folder / "out").exists()


def test_a_row_without_any_label_has_lost_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_label(folder, "", *ABNORMALITY_LABELS)
    assert scores(folder, *ZERO_SHOT) == 10
    assert "says nothing of p1_1" in capsys.readouterr().err


def test_words_for_yes_and_no_and_blanks_for_no_are_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert scores(folder, *ZERO_SHOT) == 0
    expected = (folder / "out" / "zero_shot.csv").read_bytes()
    table = pd.read_csv(folder / "labels.csv", dtype=str).replace({"1": "True", "0": "False"})
    table["Atelectasis"] = table["Atelectasis"].replace("False", "")
    table.to_csv(folder / "labels.csv", index=False)
    assert scores(folder, *ZERO_SHOT) == 0
    assert (folder / "out" / "zero_shot.csv").read_bytes() == expected
    assert "are blank and count as 0" in caplog.text


def test_an_uncertain_label_costs_its_volume_that_label_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for value in ("0", "1", "-1"):
        change_label(folder, value, "Atelectasis")
        assert scores(folder, *ZERO_SHOT) == 0
        (folder / "out" / "zero_shot.csv").rename(folder / f"{value}.csv")
    assert "1 labels of 1 volumes" in caplog.text
    sure, other, unsure = (pd.read_csv(folder / f"{value}.csv").set_index("source") for value in ("0", "1", "-1"))
    assert unsure.loc["real", "num_volumes"] == NUM
    assert unsure.loc["real", "num_labels"] == LABELS
    # The volume is wrong in one of them and right in the other.
    scored = sorted(one.loc["finding nothing", "accuracy"] for one in (sure, other))
    assert scored[0] < unsure.loc["finding nothing", "accuracy"] < scored[1]


def test_a_volume_with_two_rows_of_labels_is_named_with_both(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (folder / "labels.csv").read_text("utf-8").splitlines()
    again = lines[2].replace(".nii.gz", "", 1)
    (folder / "labels.csv").write_text("\n".join([*lines, again]) + "\n", encoding="utf-8")
    assert scores(folder, *ZERO_SHOT) == 10
    assert f"row 32 of {folder / 'labels.csv'} is of p0_1, as is row 3" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["good", "real", "real_on_grid", "finding nothing"])
def test_no_bank_takes_the_row_of_another(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (folder / "others").mkdir()
    for suffix in (".json", ".npz"):
        (folder / f"good{suffix}").rename(folder / "others" / f"{name}{suffix}")
    given = ["--real", "real.json", "--text", "text.json", "--synthetic", "noise.json", f"others/{name}.json"]
    given += ["good.json"] if name == "good" else []
    paths = [one if one.startswith("--") else str(folder / one) for one in given]
    assert main(["scores", *paths, "--out", str(folder / "out")]) == 2
    told = capsys.readouterr().err
    assert "[source-name-taken]" in told
    assert f"would be called '{name}'" in told
    assert not (folder / "out").exists()


def test_real_volumes_are_needed_and_those_on_the_grid_alone_will_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ["--text", folder / "text.json", "--synthetic", folder / "good.json", "--out", folder / "out"]
    given = [str(one) for one in rest]
    assert main(["scores", *given]) == 2
    assert "[real-missing]" in capsys.readouterr().err
    assert main(["scores", "--real-on-grid", str(folder / "real.json"), *given]) == 0
    clip = pd.read_csv(folder / "out" / "clip.csv")
    assert clip["source"].tolist() == ["real_on_grid", "good", "good"]
    assert clip["against"].tolist() == ["reports", "reports", "real_on_grid"]
