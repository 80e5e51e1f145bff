"""nnU-Net takes our data sets: its own check, plan and preprocessing, with our folds."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from medsyn2.cli import main
from tests.unit.finished_run import write_run

pytestmark = pytest.mark.tools


def test_nnunet_plans_and_preprocesses_an_export(tmp_path: Path) -> None:
    python = Path(os.environ.get("MEDSYN2_TOOLS_PYTHON", "missing"))
    if not python.exists():
        pytest.skip("MEDSYN2_TOOLS_PYTHON names no Python with the tools: run `make test-tools`")
    run, raw = write_run(tmp_path / "run"), tmp_path / "raw/Dataset501_Nodules"
    assert main(["export", "nnunet", "--run", str(run), "--structures", "nodules", "--to", str(raw)]) == 0
    places = {f"nnUNet_{name}": str(tmp_path / name) for name in ("raw", "preprocessed", "results")}
    command = [python.with_name("nnUNetv2_plan_and_preprocess"), "-d", "501", "--verify_dataset_integrity"]
    command += ["-c", "3d_fullres", "-npfp", "1", "-np", "1"]
    environment = {**os.environ, **places, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    made = tmp_path / "preprocessed/Dataset501_Nodules"
    plans = json.loads((made / "nnUNetPlans.json").read_text("utf-8"))
    assert plans["configurations"]["3d_fullres"]["normalization_schemes"] == ["CTNormalization"]
    splits = json.loads((made / "splits_final.json").read_text("utf-8"))
    cases = {path.name.partition(".")[0] for path in (made / "nnUNetPlans_3d_fullres").glob("*.pkl")}
    assert cases == {*splits[0]["train"], *splits[0]["val"]} == {"real_a", "real_b", "real_c", "synthetic_a_nodules"}
