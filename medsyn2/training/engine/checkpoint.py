"""Checkpoints of a training: plain tensors and JSON, never a pickle.

    step_00000200.json          {"kind": "checkpoint", "config": {"identity": ..., "step": 200}, "sha256": ...}
    step_00000200.safetensors   networks, moments, averages

The JSON is written last, so that a checkpoint with one is complete. The last two are kept, in case the last is
damaged. Order, noise and learning rate are functions of the step (``draws.py``, ``optimizer.py``), so a checkpoint
between steps holds the whole state.

The *identity* is a hash of everything that influences the course of a training. Checkpoints of another identity are
removed.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from medsyn2.errors import WeightsError
from medsyn2.fingerprints import fingerprint
from medsyn2.weights.tensors import load_component, save_component, tensors_path

log = logging.getLogger(__name__)

_KIND = "checkpoint"
_NAME = re.compile(r"^step_(\d{8,})\.json$")
_KEPT = 2
_NOT_OF_THE_COURSE = ("num_steps", "checkpoint_every", "num_workers", "strategy")


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after `step` steps."""

    step: int
    tensors: Mapping[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors below ``prefix/``, with that removed from their names."""
        start = f"{prefix}/"
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def identity_of(settings: str, section: str, *inputs: Any) -> str:
    """Return the identity of a training.

    Args:
        settings: Canonical JSON of the stage's settings and code version.
        section: Section of the training; its length and its distribution over processes are left out.
    """
    values = json.loads(settings)
    values[section] = {name: value for name, value in values[section].items() if name not in _NOT_OF_THE_COURSE}
    return fingerprint(values, inputs)


def save_checkpoint(folder: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Write a checkpoint atomically, then remove all but the last two."""
    config = {"identity": identity, "step": checkpoint.step}
    save_component(_path(folder, checkpoint.step), checkpoint.tensors, kind=_KIND, config=config)
    for step in _steps(folder)[:-_KEPT]:
        _remove(folder, step)


def latest_checkpoint(folder: Path, identity: str, last_step: int) -> Checkpoint | None:
    """Return the latest usable checkpoint up to `last_step`, or None, and remove unusable ones.

    Args:
        last_step: Length of that training; a longer one of the same identity has the same states up to there.
    """
    found = None
    for step in reversed(_steps(folder)):
        if found is None and step <= last_step:
            found = _load(folder, step, identity)
            if found is not None:
                continue
        if found is None or step > last_step:
            _remove(folder, step)
    _remove_torn(folder)
    return found


def keep_only(folder: Path, step: int) -> None:
    """Remove every checkpoint but that of `step`."""
    for other in _steps(folder):
        if other != step:
            _remove(folder, other)


def _load(folder: Path, step: int, identity: str) -> Checkpoint | None:
    try:
        config, tensors = load_component(_path(folder, step), _KIND)
    except WeightsError as error:
        log.warning("a checkpoint cannot be used, the one before it is: %s", error)
        return None
    if config != {"identity": identity, "step": step}:
        log.info("%s belongs to another training and is removed", _path(folder, step))
        return None
    return Checkpoint(step, tensors)


def _steps(folder: Path) -> list[int]:
    return sorted(int(match[1]) for path in folder.glob("step_*.json") if (match := _NAME.match(path.name)))


def _path(folder: Path, step: int) -> Path:
    return folder / f"step_{step:08d}.json"


def _remove(folder: Path, step: int) -> None:
    path = _path(folder, step)
    path.unlink(missing_ok=True)
    tensors_path(path).unlink(missing_ok=True)


def _remove_torn(folder: Path) -> None:
    known = {tensors_path(_path(folder, step)) for step in _steps(folder)}
    for path in [*folder.glob("step_*.safetensors"), *folder.glob(".step_*.partial*")]:
        if path not in known:
            path.unlink()
