"""The identity of a training, and the checkpoints of each identity that a run's folder keeps.

    checkpoints/kept.txt                       which there are, how they differ, how to remove one
    checkpoints/1f2e3d4c5b6a/identity.json     the settings and inputs of one identity
    checkpoints/1f2e3d4c5b6a/step_00000200.*   its checkpoints (``checkpoint.py``)

The *identity* is a hash of everything that influences the course of a training: its settings but the length, and its
inputs. A training goes on from the checkpoints of its own identity and leaves the others alone, so that a setting that
is changed and put back costs nothing. No identity is removed by itself, since nobody but the user knows which is of
use; the log names each with its size and the command that removes it.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from medsyn2.files import lock, write_json, write_text_atomically
from medsyn2.fingerprints import fingerprint, list_differences
from medsyn2.training.engine.checkpoint import list_steps, step_path
from medsyn2.training.engine.fabric import is_first_process
from medsyn2.weights.tensors import tensors_path

log = logging.getLogger(__name__)

_NOT_OF_THE_COURSE = ("num_steps", "checkpoint_every", "num_workers", "strategy")
_DIGITS = 12
_FILE, _KEPT = "identity.json", "kept.txt"
_HEAD = """\
Checkpoints of trainings, by their identity: a hash of the settings and inputs that decide their course.
A training goes on from its own and leaves the others alone. Nothing here is removed by itself. To make room,
remove the folder of an identity that you do not want to go on with.

"""


@dataclass(frozen=True)
class Identity:
    """Everything that influences the course of a training, except its length."""

    sha256: str  # Hash of the rest
    settings: Mapping[str, Any]  # Sections of the stage, without the length and the distribution over processes
    inputs: str  # Hash of the inputs

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.sha256[:_DIGITS]


def identity_of(settings: str, section: str, *inputs: Any) -> Identity:
    """Return the identity of a training.

    Args:
        settings: Canonical JSON of the stage's settings and code version.
        section: Section of the training; its length and its distribution over processes are left out.
    """
    values = json.loads(settings)
    values[section] = {name: value for name, value in values[section].items() if name not in _NOT_OF_THE_COURSE}
    return Identity(fingerprint(values, inputs), values, fingerprint(inputs))


@contextmanager
def claim_checkpoints(root: Path, identity: Identity, num_steps: int) -> Iterator[Path]:
    """Hold the checkpoints of a stage for one training, and yield the folder of its identity.

    Args:
        root: Folder of the checkpoints of all identities.
        num_steps: Length of the training.

    Raises:
        EnvironmentFault: If a training with other settings or inputs, or of another length, is at work there.
    """
    folder = root / identity.name
    if not is_first_process():
        yield folder
        return
    with lock(root / "training", use=f"{identity.sha256} to step {num_steps}"):
        _sort_by_identity(root)
        write_json(folder / _FILE, asdict(identity))
        for other in _others(root, identity):
            log.info("%s", other)
        try:
            yield folder
        finally:
            # Without room for this list, the reason why the training ended must still be heard.
            with suppress(OSError):
                write_text_atomically(root / _KEPT, _HEAD + "".join(f"{one}\n" for one in _list_kept(root, identity)))


def _list_kept(root: Path, identity: Identity) -> list[str]:
    return [f"{_describe(root / identity.name)}: the last training", *_others(root, identity)]


def _others(root: Path, identity: Identity) -> list[str]:
    """Return a line for each other identity: its checkpoints, how it differs, and how to remove it."""
    folders = sorted({path.parent for path in root.glob("*/step_*.json")} - {root / identity.name})
    return [
        f"{_describe(folder)}: kept, {_difference(folder, identity)}; remove it with: rm -r {quote(str(folder))}"
        for folder in folders
    ]


def _describe(folder: Path) -> str:
    steps = list_steps(folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    saved = f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}" if steps else "no step"
    return f"identity {folder.name} ({saved}; {size / 1e6:,.1f} MB)"


def _difference(folder: Path, identity: Identity) -> str:
    try:
        other = Identity(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return "of unknown settings"
    differences = list_differences(other.settings, identity.settings)
    if other.inputs != identity.inputs:
        differences.append("other inputs")
    return f"with {', '.join(differences)}"


def _sort_by_identity(root: Path) -> None:
    """Move checkpoints that lie in the folder itself, where earlier versions put them, to that of their identity."""
    for step in list_steps(root):
        description = step_path(root, step)
        with suppress(ValueError, TypeError, KeyError):  # damaged
            owner = json.loads(description.read_text(encoding="utf-8"))["config"]["identity"]
            place = step_path(root / owner[:_DIGITS], step)
            place.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):
                tensors_path(description).replace(tensors_path(place))
            description.replace(place)
