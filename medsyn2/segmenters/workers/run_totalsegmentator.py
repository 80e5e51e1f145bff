"""TotalSegmentator in its own process, its weights read once.

The package reads the weights for every call. Here the state of `nnUNetPredictor` after reading a folder is kept and
given to the next predictor of the same folder; nothing else of the package's way is changed. It would also download
the weights of all parts of ``total`` for one organ; here a task needs the parts that hold the wanted labels, and they
must be there.

Source: Wasserthal et al., Radiology: Artificial Intelligence 2023; the package's function ``totalsegmentator``. Which
weights and labels of a task come from the package's own tables.
"""

import os
from importlib import metadata
from pathlib import Path
from typing import Any

from serve import Refusal
from torch_pair import let_torchvision_be_imported


def prepare(settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Check the weights and the labels of every task.

    Args:
        settings: ``weights`` (folder of the datasets' folders), ``tasks`` (wanted label names of each task) and
            ``device``.
    """
    tasks = settings["tasks"]
    labels = {task: label_names(task, names) for task, names in tasks.items()}
    if settings.get("labels_only"):
        return settings, {"versions": _versions(), "labels": labels}
    folder = Path(settings["weights"])
    missing = [
        name
        for task, names in tasks.items()
        for name in weight_folders(task, names)
        if not any((folder / name).glob("*/fold_*/checkpoint_final.pth"))
    ]
    if missing:
        raise Refusal(
            "environment_error",
            "weights-missing",
            f"TotalSegmentator needs {', '.join(dict.fromkeys(missing))} in {folder}",
            "run `medsyn2 fetch totalsegmentator --to DIR` where there is a network",
        )
    os.environ["TOTALSEG_WEIGHTS_PATH"] = str(folder)
    let_torchvision_be_imported()
    import totalsegmentator.python_api as api

    api.download_pretrained_weights = lambda task_id: None
    _remember_weights()
    return settings, {"versions": _versions(), "labels": labels}


def label_names(task: str, wanted: list[str]) -> dict[str, str]:
    """Return the number and name of each of the task's labels, from the package's own table."""
    from totalsegmentator.map_to_binary import class_map

    names = {str(label): name for label, name in class_map.get(task, {}).items()}
    if not set(wanted) <= set(names.values()):
        raise Refusal(
            "environment_error",
            "tool-labels",
            f"TotalSegmentator {metadata.version('TotalSegmentator')} has the labels "
            f"{sorted(names.values())[:20]} for the task {task}, expected {wanted}",
            "install TotalSegmentator 2.18.0",
        )
    return names


def weight_folders(task: str, wanted: list[str]) -> list[str]:
    """Return the weights' folders that `task` reads for the wanted labels, by the package's own tables."""
    from totalsegmentator.map_tasks_config import TASK_CONFIGS, TASK_ID_WEIGHTS_CONFIGS
    from totalsegmentator.map_to_binary import class_map_5_parts, map_taskid_to_partname_ct

    total = TASK_CONFIGS["total"]["sub_modes"]
    config = {**TASK_CONFIGS[task], **TASK_CONFIGS[task].get("sub_modes", {}).get("default", {})}
    ids = config["task_id"]
    if isinstance(ids, list):
        parts = {number: set(class_map_5_parts[map_taskid_to_partname_ct[number]].values()) for number in ids}
        ids = [number for number in ids if parts[number] & set(wanted)]
        crop = "fastest"
    else:
        ids = [ids]
        crop = ("fast" if config.get("robust_crop") else "fastest") if config.get("crop") else ""
    if crop:
        ids = [total[crop]["task_id"], *ids]
    return [TASK_ID_WEIGHTS_CONFIGS[number]["foldername"] for number in ids]


def segment(settings: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Write the label map of each task on the CT's grid."""
    import nibabel
    from totalsegmentator.python_api import totalsegmentator

    files = {}
    for task, names in settings["tasks"].items():
        if task not in request["tasks"]:
            continue
        result = totalsegmentator(
            Path(request["ct"]),
            None,
            ml=True,
            nr_thr_saving=1,
            quiet=True,
            task=task,
            roi_subset=names if task == "total" else None,
            device=settings["device"],
        )
        files[task] = str(Path(request["folder"]) / f"{task}.nii.gz")
        nibabel.save(result, files[task])
    return {"files": files}


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("TotalSegmentator", "nnunetv2")}


def _remember_weights() -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    read = nnUNetPredictor.initialize_from_trained_model_folder
    known: dict[Any, dict[str, Any]] = {}

    def initialize(self: Any, folder: str, use_folds: Any, checkpoint_name: str = "checkpoint_final.pth") -> None:
        key = (str(folder), str(use_folds), checkpoint_name)
        if key not in known:
            before = dict(vars(self))
            read(self, folder, use_folds, checkpoint_name)
            known[key] = {name: value for name, value in vars(self).items() if value is not before.get(name)}
        vars(self).update(known[key])

    nnUNetPredictor.initialize_from_trained_model_folder = initialize
