"""The record of sampling checks itself, and holds plain numbers whatever library they come from."""

import json
from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch

from medsyn2.config import Config, validate_config
from medsyn2.errors import ConfigError
from medsyn2.flow import Sampling, solve
from medsyn2.flow.sampling import Solver, to_float, to_int


def test_numbers_of_other_libraries_become_pythons():
    row = pd.Series({"num_steps": 3.0, "guidance_mask": 2.5})
    sampling = Sampling("euler", np.int64(2), np.float32(0.5), torch.tensor(1.5), row["guidance_mask"])
    assert [type(value) for value in asdict(sampling).values()] == [str, int, float, float, float]
    assert json.loads(json.dumps(asdict(sampling)))["t_end"] == 0.5
    assert Sampling(num_steps=row["num_steps"]) == Sampling(num_steps=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"solver": "rk4"},
        {"num_steps": 0},
        {"num_steps": 2.5},
        {"num_steps": "12"},
        {"num_steps": True},
        {"num_steps": None},
        {"num_steps": np.bool_(True)},
        {"num_steps": torch.tensor(True)},
        {"num_steps": torch.ones((), device="meta")},
        {"num_steps": float("nan")},
        {"t_end": 0.0},
        {"t_end": 1},
        {"guidance_report": -1.0},
        {"guidance_mask": float("inf")},
        {"guidance_mask": pd.NA},
    ],
)
def test_a_value_without_meaning_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"^\[sampling-invalid\] {name}: expected"):
        Sampling(**wrong)


def test_whole_numbers_keep_every_digit():
    assert to_int(np.int64(2**62 + 1), "seed") == 2**62 + 1
    assert to_float(3, "scale") == 3.0


def test_the_configuration_embeds_the_record_itself():
    assert Config().sampling == Sampling()
    read = validate_config({"sampling": {"num_steps": 50}}, source="test").sampling
    assert read == replace(Sampling(), num_steps=50)


@pytest.mark.parametrize("solver", get_args(Solver))
def test_every_solver_runs_from_the_face_of_the_package(solver):
    assert solve(lambda z, t: 0.5 * z, torch.ones(1, 2), Sampling(solver, 2)).isfinite().all()
