"""TotalSegmentator: airways, vessels, heart, nodules and effusions, each by the task that the paper's tools are today.

The paper's ``lung_vessels`` is ``lung_vessels_LEGACY`` since version 2.13; the newer task of the old name
has other labels. Labels are found by name in the package's own table, so another version is understood or refused.

Source: Wasserthal et al., Radiology: Artificial Intelligence 2023; Poletti et al., medRxiv 2022 (vessels, airways).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.segmenters.tools.tool import ExternalTool, name_labels, run_on, weights_folder
from medsyn2.vocabulary import LOBES, Structure


@dataclass(frozen=True)
class Task:
    """Where TotalSegmentator has a structure."""

    name: str  # The task
    words: dict[str, str]  # The package's name of each label that makes up the structure, and ours


TASKS: dict[Structure, Task] = {
    "lobes": Task("total", {"lung_{1}_lobe_{0}".format(*lobe.split("_")): lobe for lobe in LOBES.values()}),
    "airways": Task("lung_vessels_LEGACY", {"lung_trachea_bronchia": "airways"}),
    "vessels": Task("lung_vessels_LEGACY", {"lung_vessels": "vessels"}),
    "heart": Task("total", {"heart": "heart"}),
    "nodules": Task("lung_nodules", {"lung_nodules": "nodules"}),
    "pleural_effusion": Task("pleural_pericard_effusion", {"pleural_effusion": "pleural_effusion"}),
    "pericardial_effusion": Task("pleural_pericard_effusion", {"pericardial_effusion": "pericardial_effusion"}),
}

# Telemetry is on unless this file says otherwise; the package rewrites it for every CT, so each process has its own.
_PACKAGE_CONFIG = {
    "totalseg_id": "totalseg_MEDSYN2",
    "send_usage_stats": False,
    "prediction_counter": 0,
    "statistics_disclaimer_shown": True,
}


def select_tasks(structures: Sequence[Structure]) -> dict[str, list[str]]:
    """Return the tasks that find `structures`, each with the package's names of the labels wanted of it."""
    tasks: dict[str, list[str]] = {}
    for structure in structures:
        if structure in TASKS:
            tasks.setdefault(TASKS[structure].name, []).extend(TASKS[structure].words)
    return tasks


class TotalSegmentatorSegmenter(ExternalTool):
    """Finds seven of the nine structures; the weights of those that the configuration names must be there."""

    name = "totalsegmentator"

    def __init__(self, config: SegmentConfig) -> None:
        chosen = [structure for structure, tool in config.tools.items() if tool == self.name]
        super().__init__(
            config,
            "totalsegmentator",
            {
                "weights": str(weights_folder(config, "totalsegmentator")),
                "tasks": select_tasks(chosen),
                "device": "cpu" if config.device == "cpu" else "gpu",
            },
            environment={"TOTALSEG_HOME_DIR": "{home}"},
            home_files={"config.json": json.dumps(_PACKAGE_CONFIG)},
        )

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap]:
        """Return a label map of each wanted structure, running each task once."""
        wanted = [structure for structure in structures if structure in TASKS]
        found = run_on(self._process, volume, tasks=sorted(select_tasks(wanted)))
        return {
            structure: name_labels(found[TASKS[structure].name], structure, TASKS[structure].words)
            for structure in wanted
        }
