"""Which of TotalSegmentator's tasks find which structure."""

from medsyn2.config.preparation import TOOL_STRUCTURES
from medsyn2.segmenters.tools.mask_files import CT_RATE_FOLDERS
from medsyn2.segmenters.tools.medpseg import FILES
from medsyn2.segmenters.tools.totalsegmentator import TASKS, select_tasks
from medsyn2.vocabulary import LOBES


def test_the_configuration_offers_what_the_adapters_can_find() -> None:
    assert set(TOOL_STRUCTURES["totalsegmentator"]) == set(TASKS)
    assert set(TOOL_STRUCTURES["medpseg"]) == set(FILES)
    published = {structure for structure, task in TASKS.items() if task.name in CT_RATE_FOLDERS}
    assert set(TOOL_STRUCTURES["ct_rate"]) == published


def test_a_task_runs_once_for_all_its_structures() -> None:
    assert select_tasks(["airways", "heart", "vessels", "ground_glass"]) == {
        "lung_vessels_LEGACY": ["lung_trachea_bronchia", "lung_vessels"],
        "total": ["heart"],
    }


def test_lobes_are_named_as_the_package_names_them() -> None:
    assert set(TASKS["lobes"].words.values()) == set(LOBES.values())
    assert TASKS["lobes"].words["lung_middle_lobe_right"] == "right_middle"
