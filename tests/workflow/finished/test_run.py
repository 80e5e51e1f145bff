"""The whole workflow on phantoms: it ends, a second run has nothing to do, and a change re-runs what it must."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from medsyn2 import read_ct
from medsyn2.stages import STAGES
from medsyn2.vocabulary import WINDOWS_HU
from tests.workflow.conftest import TINY, Workflow

NOT_AFTER_SAMPLE = {"reconstruct", "evaluate_tokenizer", "evaluate_variants"}
"""Evaluations that read no volume of the main model, or do not run without variants."""

AFTER_SAMPLE = {
    "sample",
    *(stage.name for stage in STAGES.values() if stage.in_evaluation and stage.name not in NOT_AFTER_SAMPLE),
    "report",
}

JUDGES = ("extractor", "segmenter", "model")
"""Columns that say what a metric depends on beside the volumes."""

WITHOUT_A_JUDGE = {"cases", "quarantine", "reconstruction", "progressive", "attention", "hu", "hu_cases", "indices",
                   "index_cases"}  # fmt: skip
"""Tables of records, of the voxels' own values, and of the model's own attention."""


@pytest.fixture
def rerun(finished: Workflow, tmp_path: Path) -> Workflow:
    """The finished run with a configuration of its own that a test may change."""
    config = tmp_path / "changed.yaml"
    shutil.copy(TINY, config)
    return Workflow(finished.folder, (config,))


def change(workflow: Workflow, section: str, **values: object) -> None:
    """Change values of one section."""
    path = workflow.configs[0]
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    whole.setdefault(section, {}).update(values)
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")


def test_every_stage_leaves_its_result(finished: Workflow) -> None:
    results = finished.folder / "results"
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert all((results / name).is_dir() for name in STAGES if STAGES[name].sharded)
    for window in WINDOWS_HU:
        table = pd.read_csv(results / f"fid_{window}.csv")
        assert set(table["plane"]) == {"axial", "sagittal", "coronal", "mean"}
        assert (table["fid"] > 0).all()
        assert table["extractor"].notna().all()
    agreement = pd.read_csv(results / "mask_agreement.csv")
    assert set(agreement["comparison"]) == {"requested", "shuffled", "ceiling", "reconstructed_ct"}
    assert len(pd.read_csv(results / "cases.csv")) == 6


def test_every_table_of_metrics_says_what_judged(finished: Workflow) -> None:
    tables = {path.stem: pd.read_csv(path) for path in (finished.folder / "results").glob("*.csv")}
    assert set(tables) > WITHOUT_A_JUDGE
    for name in set(tables) - WITHOUT_A_JUDGE:
        said = [column for column in JUDGES if column in tables[name]]
        assert said, f"{name}.csv has none of {JUDGES}"
        assert tables[name][said].notna().all(axis=None), f"{name}.csv"


def test_synthetic_volume_lies_on_the_grid_of_its_real_case_and_says_what_it_is(finished: Workflow) -> None:
    manifest = json.loads((finished.folder / "results/sample/0000.json").read_text(encoding="utf-8"))
    record = next(record for record in manifest["cases"] if record["status"] == "ok")
    folder = finished.folder / "results/sample/0000" / record["case"]
    real = read_ct(finished.folder / "results/register/0000" / record["case"] / "ct.nii.gz")
    for sample in record["facts"]["samples"]:
        volume = read_ct(folder / sample["file"])
        assert volume.shape == real.shape
        assert (volume.affine_mm == real.affine_mm).all()
        sidecar = json.loads((folder / sample["file"].replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
        assert sidecar["synthetic"] is True


def test_second_run_has_nothing_to_do(finished: Workflow) -> None:
    assert finished.planned() == {}


def test_comment_and_order_of_keys_rerun_nothing(rerun: Workflow) -> None:
    path = rerun.configs[0]
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text("# a comment\n" + yaml.safe_dump(dict(reversed(whole.items())), sort_keys=False), encoding="utf-8")
    assert rerun.planned() == {}


@pytest.mark.parametrize(
    ("section", "values", "expected"),
    [
        ("sample", {"seed": 3}, AFTER_SAMPLE),
        ("sampling", {"num_steps": 3}, {"train_dit", *AFTER_SAMPLE}),
        (
            "evaluate_fid",
            {"slices_per_volume": 5},
            {"extract_features", "evaluate_fid", "evaluate_memorisation", "evaluate_scores", "report"},
        ),
        ("report", {"max_panels": 2}, {"report"}),
        ("train_dit", {"learning_rate": 1e-4}, {"train_dit", *AFTER_SAMPLE}),
        (
            "train_tokenizer",
            {"learning_rate": 2e-4},
            {"train_tokenizer", "encode_latents", "train_dit", "reconstruct", "evaluate_tokenizer", *AFTER_SAMPLE},
        ),
    ],
)
def test_changed_value_reruns_its_stage_and_what_follows(
    rerun: Workflow, section: str, values: dict[str, object], expected: set[str]
) -> None:
    change(rerun, section, **values)
    assert set(rerun.planned()) == expected


def test_added_case_reruns_its_shard_only(rerun: Workflow) -> None:
    change(rerun, "cohort", num_phantoms=7)
    planned = rerun.planned()
    prepared = {name for name, stage in STAGES.items() if stage.sharded and not stage.in_evaluation} - {"sample"}
    sharded = {name: shards for name, shards in planned.items() if name in prepared}
    assert {"phantoms", "inventory", "register", "segment", "masks", "encode_text"} <= set(sharded)
    assert "template" not in planned
    shards = {name: shards for name, shards in sharded.items() if name not in {"encode_latents", "encode_text"}}
    assert set().union(*shards.values()) == {"0002"}


def test_one_table_can_be_asked_for(finished: Workflow) -> None:
    (finished.folder / "results/fid_lung.csv").rename(finished.folder / "kept.csv")
    try:
        assert set(finished.planned("results/fid_lung.csv")) == {"evaluate_fid"}
    finally:
        (finished.folder / "kept.csv").rename(finished.folder / "results/fid_lung.csv")


def test_a_variant_adds_its_own_stages_and_leaves_the_main_model_s_alone(rerun: Workflow) -> None:
    change(rerun, "variants", no_conv={"dit": {"conv": False}})
    # The table of variants does not read a variant's HU: they are made for who asks for them by name.
    of_each_model = {stage.name for stage in STAGES.values() if stage.each_model} - {"measure_hu", "evaluate_hu"}
    assert set(rerun.planned()) == {*of_each_model, "evaluate_variants", "report"}
    text = rerun.run("-n", "all")
    assert "results/train_dit/model/model.json" not in outputs_in(text)
    two = {"dit": {"gate": False}, "train_dit": {"leave_out": ["nodules"]}}
    change(rerun, "variants", other=two)
    text = rerun.run("-n", "all")
    assert text.count("variant=variants/other/") == text.count("variant=variants/no_conv/") > 0
    for figure in ("left_out.png", "variants/other/attention.png"):
        assert f"results/{figure}" in text
    assert "results/variants/no_conv/attention.png" in text  # made on the way to the table


def outputs_in(text: str) -> set[str]:
    """The outputs of the jobs that a dry run lists."""
    return {file for line in re.findall(r"^ +output: (.*)$", text, re.M) for file in line.split(", ")}
