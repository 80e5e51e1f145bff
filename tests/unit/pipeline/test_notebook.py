"""The pipeline as a notebook uses it: no annotation is checked there, and values come from NumPy and pandas."""

import subprocess
import sys

NOTEBOOK = """
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from medsyn2 import CTVolume, MedSyn2Error, MedSyn2Pipeline, Sampling

model, folder = sys.argv[1], Path(sys.argv[2])
pipeline = MedSyn2Pipeline.from_pretrained(model, device="cpu")
row = pd.DataFrame({"seed": [3.0], "steps": [2], "scale": [1.5], "report": [np.nan]}).iloc[0]
sampling = Sampling("euler", row["steps"], guidance_mask=np.float32(row["scale"]))
steps = []
made = pipeline(row["report"], seed=row["seed"], sampling=sampling, progress=steps.append)
made.save(folder / "ct.nii.gz")
recipe = json.loads((folder / "ct.json").read_text())
assert (recipe["seed"], recipe["sampling"]["num_steps"], recipe["sampling"]["guidance_mask"]) == (3, 2, 1.5)
assert "as if none had been given" in recipe["notes"][0]
assert not steps[0].clean.requires_grad
assert pipeline(None, seed=np.int64(3), sampling=sampling).volume == made.volume


def refused(code, **asked):
    try:
        pipeline(**asked)
    except MedSyn2Error as error:
        assert error.code == code, error
    else:
        raise AssertionError(code)


refused("mask-type", mask="heart.nii.gz", mask_text="heart")
refused("mask-type", mask=np.zeros((4, 4, 4)), mask_text="heart")
refused("text-type", report=3)
refused("sampling-invalid", seed="three")
refused("sampling-invalid", sampling={"num_steps": 2})
for flat in (np.zeros((4, 4)), [[[1]]]):
    try:
        CTVolume(flat, np.eye(4))
    except MedSyn2Error as error:
        assert error.code == "volume-array"
    else:
        raise AssertionError(flat)
"""


def test_values_of_numpy_and_pandas_are_taken_or_refused_before_anything_is_computed(tiny_model, tmp_path):
    command = [sys.executable, "-c", NOTEBOOK, str(tiny_model), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stderr
