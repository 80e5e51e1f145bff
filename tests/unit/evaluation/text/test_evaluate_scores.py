"""Scores of samples that fit their reports, and of samples that fit the others'."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.config import EncodeTextConfig, EvaluateFidConfig, EvaluateScoresConfig, GridConfig
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.text.evaluate_scores import evaluate_scores, label_prompts
from medsyn2.evaluation.text.score_tables import CLIP_COLUMNS, ZERO_SHOT_COLUMNS
from medsyn2.facts import CT_FILE, HuScale, InventoryFacts, RegisterFacts, Report, SampleFacts
from medsyn2.stages.encode_text import encode_text
from medsyn2.vocabulary import ABNORMALITY_LABELS
from tests.unit.records import inventory_facts, register_facts, sample_facts, write_shard

HOW_TO = Path(__file__).parents[4] / "docs/how-to/score-with-a-clip-model.md"
SHAPE = (16, 24, 24)
GRID = GridConfig(shape=SHAPE, spacing_mm=(8.0, 8.0, 8.0))
AFFINE = axis_aligned_affine((8.0, 8.0, 8.0), (0.0, 0.0, 0.0))
SPLITS = {**{f"t{i}": "train" for i in range(8)}, **{f"h{i}": "test" for i in range(10)}}
ILL = {case: index % 2 == 1 for index, case in enumerate(SPLITS)}
SCRIPT = """
import argparse, csv
arguments = argparse.ArgumentParser()
arguments.add_argument("--request"); arguments.add_argument("--out")
given = arguments.parse_args()
request = json.load(open(given.request))
import nibabel, os
os.chdir(given.out)
def volume(one):
    values = np.asarray(nibabel.load(one["path"]).dataobj, float)
    return [1.0, 2.0 if values[values > -500].mean() > 200 else -2.0]
def text(one):
    return [1.0, -2.0 if " no " in f" {one['text'].lower()}" or "not" in one["text"] else 2.0]
def write(name, kind, listed, embed):
    ids, patients = ([one[key] for one in listed] for key in ("id", "patient"))
    write_bank(name, kind, ids, patients, [embed(one) for one in listed], "script", given.request)
for name, source in request["sources"].items():
    write(name, source["kind"], source["volumes"], volume)
write("text", "real", request["text"], text)
write("prompts", "real", request["prompts"], text)
"""


def chest(ill: bool, seed: int) -> CTVolume:
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 30, SHAPE)
    hu[:, 6:18, 4:11] = rng.normal(-850, 40, (16, 12, 7))
    hu[:, 6:18, 14:21] = -850
    if ill:
        hu[:, 10:18, 4:21] = 700
    return CTVolume(hu.astype(np.int16), AFFINE)


def facts_of(case: str, path: Path, reports: bool, stored: tuple[str, ...]) -> InventoryFacts:
    findings = "Large pleural effusion." if ILL[case] else "No effusion, the lung is clear."
    return inventory_facts(
        f"subject {case}",
        SPLITS[case],
        path=str(path / f"{case}.nii.gz"),
        report=Report(findings) if reports else None,
        labels={label: int(ILL[case]) for label in ABNORMALITY_LABELS},
        hu=HuScale("stored" if case in stored else "hu", 1.0, 0.0, None),
    )


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path) -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    def registered(case: str, folder: Path) -> RegisterFacts:
        volume = chest(ILL[case], list(SPLITS).index(case))
        for place in (folder / CT_FILE, tmp_path / f"{case}.nii.gz"):
            write_ct(place, volume)
        return register_facts(f"subject {case}", SPLITS[case])

    def sampled(case: str, folder: Path) -> SampleFacts:
        conditions = []
        rare = [("rare", ILL[case])] if case == "h1" else []
        for condition, ill in (("fitting", ILL[case]), ("swapped", not ILL[case]), *rare):
            write_ct(folder / f"{condition}.nii.gz", chest(ill, 100 + list(SPLITS).index(case)))
            conditions.append(condition)
        return sample_facts(f"subject {case}", dict.fromkeys(conditions))

    def scored(
        *, reports: bool = True, stored: tuple[str, ...] = (), **config: object
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        def listed(case: str, folder: Path) -> InventoryFacts:
            return facts_of(case, tmp_path, reports, stored)

        inventory = write_shard(tmp_path / "inventory/0000.json", InventoryFacts, SPLITS, listed)
        encoder, text = tiny_model / "text_encoder", tmp_path / "text" / "0000.json"
        limits = EncodeTextConfig(max_report_tokens=32, max_prompt_tokens=32)
        encode_text(limits, inventory=inventory, encoder=encoder, manifest=text, settings="")
        held_out = [case for case, split in SPLITS.items() if split == "test"]
        evaluate_scores(
            GRID,
            EvaluateFidConfig(slices_per_volume=4),
            EvaluateScoresConfig(**config),
            inventory=[inventory],
            register=[write_shard(tmp_path / "register/0000.json", RegisterFacts, SPLITS, registered)],
            text=[text],
            encoder=encoder,
            samples=[write_shard(tmp_path / "sample/0000.json", SampleFacts, held_out, sampled)],
            banks=tmp_path / "banks",
            cache=tmp_path / "features",
            clip=tmp_path / "clip.csv",
            zero_shot=tmp_path / "zero_shot.csv",
        )
        return pd.read_csv(tmp_path / "clip.csv"), pd.read_csv(tmp_path / "zero_shot.csv")

    return scored


def test_samples_that_fit_their_reports_score_above_those_that_do_not(run) -> None:
    clip, zero_shot = run()
    assert list(clip.columns) == CLIP_COLUMNS
    score = clip.set_index(["source", "score_of"])
    for source in ("real_on_grid", "fitting"):
        assert score.loc[(source, "T2I"), "score"] > score.loc[(source, "T2I"), "shuffled"] + 50
    assert score.loc[("swapped", "T2I"), "score"] < score.loc[("swapped", "T2I"), "shuffled"] - 50
    assert score.loc[("fitting", "I2I"), "score"] > 50 > score.loc[("swapped", "I2I"), "score"]
    assert score["model"].unique().tolist() == ["linear, fitted to 8 training cases"]
    assert (score[["num_pairs", "num_patients"]] == 10).all(axis=None)
    assert set(score["against"]) == {"reports", "real_on_grid"}
    sources = ["real_on_grid", "fitting", "rare", "swapped", "finding nothing", "finding everything"]
    assert zero_shot["source"].tolist() == sources
    table = zero_shot.set_index("source")
    assert table.loc["swapped", "auroc"] == pytest.approx(1 - table.loc["fitting", "auroc"], abs=0.2)
    assert table["num_labels"].tolist() == [18, 18, 0, 18, 18, 18]
    assert table.loc["rare", "verdict"] == "no verdict: too few cases"


def test_a_condition_of_one_case_has_no_pairs_to_score_and_stops_nothing(run, caplog: pytest.LogCaptureFixture) -> None:
    clip, zero_shot = run()
    assert set(clip["source"]) == {"real_on_grid", "fitting", "swapped"}
    assert zero_shot.set_index("source").loc["rare", "num_volumes"] == 1
    assert "rare is left out: 1 of its volumes have reports, needed are 2" in caplog.text


def test_without_reports_both_tables_are_empty(run, caplog: pytest.LogCaptureFixture) -> None:
    clip, zero_shot = run(reports=False)
    assert clip.empty
    assert zero_shot.empty
    assert (list(clip.columns), list(zero_shot.columns)) == (CLIP_COLUMNS, ZERO_SHOT_COLUMNS)
    assert caplog.text.count("has no rows") == 2


@pytest.fixture
def command(tmp_path: Path) -> tuple[str, str]:
    writer = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)[0]
    script = tmp_path / "model.py"
    script.write_text(writer + SCRIPT, encoding="utf-8")
    return sys.executable, str(script)


def test_a_command_of_the_user_s_embeds_scans_and_grid_reports_and_prompts(run, command: tuple[str, str]) -> None:
    clip, zero_shot = run(command=command)
    assert set(clip["against"]) == {"reports", "real_on_grid"}
    score = clip.set_index(["source", "score_of"])["score"]
    assert score["real", "T2I"] == score["real_on_grid", "T2I"] == score["fitting", "T2I"] == 100
    assert score["swapped", "T2I"] == pytest.approx(-60)
    aurocs = zero_shot.set_index("source")["auroc"]
    assert aurocs["fitting"] == 1
    assert aurocs["swapped"] == 0


@pytest.mark.parametrize(("stored", "num"), [(("h0",), 9), (tuple(SPLITS), None)])
def test_scans_whose_files_are_not_in_hu_are_no_scans_to_embed(
    run, command: tuple[str, str], stored: tuple[str, ...], num: int | None
) -> None:
    clip, _ = run(command=command, stored=stored)
    pairs = clip.set_index(["source", "score_of"])["num_pairs"]
    assert pairs.get(("real", "T2I")) == num
    assert pairs["real_on_grid", "T2I"] == 10


def test_a_command_that_fails_says_how_to_run_it(run) -> None:
    with pytest.raises(EnvironmentFault, match="scores-command-failed"):
        run(command=(sys.executable, "-c", "raise SystemExit(3)"))


def test_there_are_two_prompts_a_label() -> None:
    prompts = label_prompts()
    assert len(prompts) == 2 * len(ABNORMALITY_LABELS)
    assert prompts["Atelectasis/absent"] == "Atelectasis is not present."
