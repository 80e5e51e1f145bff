"""Checkpoints of a training: plain tensors and JSON, never a pickle.

    step_00000200.json          {"kind": "checkpoint", "config": {"identity": ..., "step": 200}, "sha256": ...}
    step_00000200.safetensors   networks, moments, averages

The JSON is written last, so that a checkpoint with one is complete. The last two are kept, in case the last is
damaged, and those of a longer training of the same identity, which a shorter one leaves alone. Order, noise and
learning rate are functions of the step (``draws.py``, ``optimizer.py``), so a checkpoint between steps holds the whole
state.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from medsyn2.errors import WeightsError
from medsyn2.weights.tensors import load_component, save_component, tensors_path

log = logging.getLogger(__name__)

_KIND = "checkpoint"
_NAME = re.compile(r"^step_(\d{8,})\.json$")
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after `step` steps."""

    step: int
    tensors: Mapping[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors below ``prefix/``, with that removed from their names."""
        start = f"{prefix}/"
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save_checkpoint(folder: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Write a checkpoint atomically, then remove all before it but the last."""
    config = {"identity": identity, "step": checkpoint.step}
    save_component(step_path(folder, checkpoint.step), checkpoint.tensors, kind=_KIND, config=config)
    for step in [step for step in list_steps(folder) if step <= checkpoint.step][:-_KEPT]:
        _remove(folder, step)


def latest_checkpoint(folder: Path, identity: str, last_step: int) -> Checkpoint | None:
    """Return the latest usable checkpoint up to `last_step`, or None, and remove unusable ones up to there.

    Args:
        last_step: Length of that training; a longer one of the same identity has the same states up to there, and
            keeps its own.
    """
    _remove_torn(folder)
    for step in reversed(list_steps(folder)):
        if step > last_step:
            continue
        found = _load(folder, step, identity)
        if found is not None:
            return found
        _remove(folder, step)
    return None


def remove_before(folder: Path, step: int) -> None:
    """Remove every checkpoint before that of `step`."""
    for other in list_steps(folder):
        if other < step:
            _remove(folder, other)


def list_steps(folder: Path) -> list[int]:
    """Return the steps that a folder holds complete checkpoints of, in order."""
    return sorted(int(match[1]) for path in folder.glob("step_*.json") if (match := _NAME.match(path.name)))


def step_path(folder: Path, step: int) -> Path:
    """Return the description of the checkpoint of a step."""
    return folder / f"step_{step:08d}.json"


def _load(folder: Path, step: int, identity: str) -> Checkpoint | None:
    try:
        config, tensors = load_component(step_path(folder, step), _KIND)
    except WeightsError as error:
        log.warning("a checkpoint cannot be used, the one before it is: %s", error)
        return None
    if config != {"identity": identity, "step": step}:
        log.warning("%s says that it belongs to another training and is removed", step_path(folder, step))
        return None
    return Checkpoint(step, tensors)


def _remove(folder: Path, step: int) -> None:
    path = step_path(folder, step)
    path.unlink(missing_ok=True)
    tensors_path(path).unlink(missing_ok=True)


def _remove_torn(folder: Path) -> None:
    known = {tensors_path(step_path(folder, step)) for step in list_steps(folder)}
    for path in [*folder.glob("step_*.safetensors"), *folder.glob(".step_*.partial*")]:
        if path not in known:
            path.unlink()
