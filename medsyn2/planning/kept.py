"""Costs that are kept: what one pass of a network takes follows from few settings, and most changes leave them.

A pass is simulated once (``simulated.py``: seconds, and the import of torch) and kept in the user's cache, under a hash
of the settings that it follows from, of this package's code and of torch's version. A file that is damaged is made
again; where there is no cache that can be written to, nothing is kept.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from medsyn2.files import write_text_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.nn.compute_cost import ComputeCost

_PACKAGE = Path(__file__).parents[1]


def cache_folder() -> Path | None:
    """Return the package's folder in the user's cache; None where that is read-only, or there is no home."""
    with suppress(OSError, RuntimeError):
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medsyn2/plans"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.R_OK | os.W_OK):
            return folder
    return None


@cache
def code_sha256() -> str:
    """Return a hash of the package's modules."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def keep(name: str, settings: object, measure: Callable[[], Any]) -> Any:
    """Return what `measure` returns, a JSON value, or what it returned before for the same settings.

    Args:
        name: Of the pass.
        settings: All settings that it follows from, JSON values and dataclasses of such.
    """
    if (folder := cache_folder()) is None:
        return measure()
    place = folder / f"{name}-{fingerprint(name, settings, code_sha256(), version('torch'))}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):  # none, or a damaged one
        kept = json.loads(place.read_text(encoding="utf-8"))
        if kept["sha256"] == fingerprint(kept["value"]):
            return kept["value"]
    value = measure()
    with suppress(OSError):
        write_text_atomically(place, json.dumps({"value": value, "sha256": fingerprint(value)}))
    return value


def keep_cost(name: str, settings: object, measure: Callable[[], ComputeCost]) -> ComputeCost:
    """Return the cost that `measure` returns, or returned before for the same settings."""
    return ComputeCost(**keep(name, settings, lambda: asdict(measure())))
