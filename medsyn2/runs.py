"""The runs that work in a folder: several at once with the same settings, none with others.

Snakemake's own lock names nobody, and a killed run leaves it behind; the profile turns it off, because the stages lock
each artefact. Runs with the same settings then share the work. But one with other settings would remove what the first
is making. So each run leaves a record below ``results/.runs``: which process it is (``processes.py``) and its settings.
It holds a lock on that file until it ends, so that the record of a killed run is known and removed. This module uses
only the standard library, because Snakemake's own process imports it.
"""

import atexit
import json
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from medsyn2.errors import EnvironmentFault
from medsyn2.files import lock, try_lock, unknown_holder
from medsyn2.fingerprints import list_differences
from medsyn2.processes import Holder
from medsyn2.slurm import stop_command

RUNS = Path("results/.runs")

_SHOWN = 5
"""Differences in a message."""


def enter(settings: Mapping[str, Any]) -> None:
    """Record this run in the folder that it works in, until the process ends.

    Args:
        settings: Everything of the configuration that decides what is made.

    Raises:
        EnvironmentFault: If a run with other settings is at work here, or may be.
    """
    with lock(RUNS / "runs"):
        for record in sorted(RUNS.glob("*.json")):
            _check(record, settings)
        # Snakemake leaves the run's folder before it ends.
        own = (RUNS / f"{platform.node()}-{os.getpid()}.json").absolute()
        file = own.open("w", encoding="utf-8")
        try_lock(file)
        file.write(f"{Holder.of_this_process().text()}\n{json.dumps(settings, sort_keys=True)}\n")
        file.flush()

    def leave() -> None:
        own.unlink(missing_ok=True)
        file.close()

    atexit.register(leave)


def _check(record: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a run with other settings that is at work or may be; remove the record of one that is gone."""
    with suppress(FileNotFoundError), record.open("r+", encoding="utf-8") as file:  # it may end now
        has_lock = try_lock(file)
        head, _, rest = file.read().partition("\n")
        holder = Holder.read(head)
        state = "works" if has_lock is False else "gone" if holder is None else holder.state(has_lock=bool(has_lock))
        if state == "gone":
            record.unlink()
            return
        if holder is None:
            return
        differences = list_differences(settings, json.loads(rest))
        if differences and state == "unknown":
            raise unknown_holder(holder, RUNS.parent, record)
        if differences:
            raise _in_use(holder, differences)


def _in_use(holder: Holder, differences: Sequence[str]) -> EnvironmentFault:
    more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return EnvironmentFault(
        f"This folder is in use by {holder.name} since {holder.since}, a run with other settings. Here, "
        f"{'; '.join(differences[:_SHOWN])}{more}.",
        code="folder-in-use",
        remedy=f"nothing was started. Wait until that run ends or end it ({stop_command(holder.name)}); or work in "
        "another folder (`snakemake --directory`).",
    )
