"""The finished steps of one long computation, kept so that a killed job goes on with the next step.

A journal is a file of JSON lines. Each holds the computation that the step is of (a hash of all that decides it), the
name of the step, its result and a hash of these; the file is flushed to the disk after each. A line that was torn or
damaged, or is of another computation, is passed over, and its step done again. Whoever has finished the computation
removes the journal.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from medsyn2.faults import name_file
from medsyn2.files import sha256_of, sync, write_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.integrity import is_unchanged

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]


class Journal:
    """Results by step, of the computation `made_from` alone.

    Args:
        path: The file of steps; arrays go into the folder of that name without its suffix.
    """

    def __init__(self, path: Path, made_from: str) -> None:
        self.path, self.made_from = path, made_from
        self._steps = dict(_read_steps(path, made_from))

    def __contains__(self, step: str) -> bool:
        return step in self._steps

    def __getitem__(self, step: str) -> Any:
        return self._steps[step]

    def add(self, step: str, result: Any) -> None:
        """Keep the result of a step, which is JSON."""
        line = json.dumps([self.made_from, step, result, fingerprint(self.made_from, step, result)])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The line break comes first too, in case the line before is torn.
        with name_file(self.path), self.path.open("ab", buffering=0) as file:
            file.write(f"\n{line}\n".encode())
            os.fsync(file.fileno())
        self._steps[step] = result

    def add_arrays(self, step: str, arrays: Arrays) -> None:
        """Keep arrays as the result of a step, in a file of their own."""
        place = self._place(step)
        write_atomically(place, lambda partial: _save(partial, arrays))
        self.add(step, sha256_of(place))

    def arrays(self, step: str) -> Arrays | None:
        """Return the arrays of a step; None if there are none, or not those that were kept."""
        if step not in self or not is_unchanged(self._place(step), self[step]):
            return None
        with np.load(self._place(step), allow_pickle=False) as kept:
            return dict(kept)

    def remove(self) -> None:
        """Remove the journal and its arrays."""
        shutil.rmtree(self.path.with_suffix(""), ignore_errors=True)
        self.path.unlink(missing_ok=True)
        sync(self.path.parent)

    def _place(self, step: str) -> Path:
        return self.path.with_suffix("") / f"{step}.npz"


def _save(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _read_steps(path: Path, made_from: str) -> list[tuple[str, Any]]:
    """Return the whole lines that are of this computation."""
    lines = path.read_bytes().splitlines() if path.is_file() else []
    steps = []
    for line in filter(None, lines):
        try:
            origin, step, result, digest = json.loads(line)
        except (ValueError, TypeError):
            continue
        if origin == made_from and digest == fingerprint(origin, step, result):
            steps.append((step, result))
    return steps
