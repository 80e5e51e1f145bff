"""A small run whose costs are estimated."""

from medsyn2.config import Config, validate_config
from medsyn2.planning.run import PlannedRun
from medsyn2.planning.workload import Shards, Workload

SMALL = {
    "grid": {"shape": [16, 32, 32]},
    "tokenizer": {"hidden_channels": 4},
    "train_tokenizer": {"num_steps": 10, "initial_weights": None, "crop_shape": [8, 16, 16]},
    "dit": {"width": 24, "depth": 1, "num_heads": 2},
    "train_dit": {"num_steps": 10},
    "sampling": {"num_steps": 4},
}
WORK = Workload(Shards((6,)), Shards((2,)), 1e6, 50, 16 * 32 * 32)
"""Eight cases in a shard, two of them held out."""


def config(**changes: dict[str, object]) -> Config:
    """Return the small configuration with some keys changed."""
    values = {name: {**SMALL.get(name, {}), **changes.get(name, {})} for name in {*SMALL, *changes}}
    return validate_config(values, source="test")


def planned_run(work: Workload = WORK, **changes: dict[str, object]) -> PlannedRun:
    """Return the small run with some keys changed."""
    return PlannedRun(config(**changes), work)
