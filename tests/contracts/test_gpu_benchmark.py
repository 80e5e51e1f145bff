"""The command for a GPU's figures runs from a checkout with torch alone, and every case leaves a row."""

import csv
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What a machine that is lent with PyTorch alone does not have.
BLOCKED = ("pydantic", "zarr", "jaxtyping", "beartype", "monai", "pandas", "scipy", "nibabel", "transformers", "yaml")
HOOK = f"import sys; sys.modules.update(dict.fromkeys({BLOCKED!r}))"
# Kernels that no CPU has, and MAISI without MONAI.
ONLY_ELSEWHERE = ("CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "triton", "MAISI")


def test_every_row_has_a_time_or_needs_another_device(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    # The rows are those of a real run; what they compile would cost a minute.
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "TORCHDYNAMO_DISABLE": "1"}
    command = [sys.executable, ROOT / "benchmarks/gpu.py", "--size", "tiny", "--out", tmp_path / "out"]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    with (tmp_path / "out/gpu.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["section"] for row in rows} >= {"ceiling", "step", "forward", "sample", "attention", "depthwise"}
    for row in rows:
        if any(name in row["work"] for name in ONLY_ELSEWHERE):
            assert row["ms"] or "Error" in row["note"]
        else:
            assert float(row["ms"]) > 0, row
