"""lungmask in its own process: the five lobes by LTRCLobes, its gaps filled from R231.

Source: Hofmanninger et al., European Radiology Experimental 2020; the package's class ``LMInferer``.
"""

import re
from importlib import metadata
from pathlib import Path
from typing import Any

from serve import Refusal

LOBE_MODEL, FILL_MODEL = "LTRCLobes", "R231"
_LABEL_LINE = re.compile(r"^(\d) = ((?:left|right) (?:upper|middle|lower)) lobe", re.IGNORECASE | re.MULTILINE)


def prepare(settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load both networks once.

    Args:
        settings: ``weights`` (folder of the checkpoints under their published names) and ``cpu``.
    """
    from lungmask import LMInferer
    from lungmask.mask import MODEL_URLS

    folder = Path(settings["weights"])
    lobes, lungs = (folder / MODEL_URLS[name][0].rsplit("/", 1)[1] for name in (LOBE_MODEL, FILL_MODEL))
    for path in (lobes, lungs):
        if not path.is_file():
            raise Refusal(
                "environment_error",
                "weights-missing",
                f"lungmask needs {path}, which does not exist",
                "run `medsyn2 fetch lungmask --to DIR` where there is a network",
            )
    inferer = LMInferer(
        modelname=LOBE_MODEL,
        modelpath=str(lobes),
        fillmodel=FILL_MODEL,
        fillmodel_path=str(lungs),
        force_cpu=settings["cpu"],
        # As the package's command line does, so that results are the same.
        batch_size=1 if settings["cpu"] else 20,
        tqdm_disable=True,
    )
    return inferer, {"versions": {"lungmask": metadata.version("lungmask")}, "labels": {"lobes": label_names()}}


def label_names() -> dict[str, str]:
    """Return the names of the lobe model's labels: the table in the description that the package carries."""
    description = metadata.metadata("lungmask")["Description"]
    names = {label: name.lower().replace(" ", "_") for label, name in _LABEL_LINE.findall(description)}
    if len(names) != 5:
        raise Refusal(
            "environment_error",
            "tool-labels",
            f"lungmask {metadata.version('lungmask')} does not say what its five lobe labels mean, found {names}",
            "install lungmask 0.2.22",
        )
    return names


def segment(inferer: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Write ``lobes.nii.gz`` on the CT's grid."""
    import SimpleITK as sitk

    image = sitk.ReadImage(request["ct"])
    labels = sitk.GetImageFromArray(inferer.apply(image))
    labels.CopyInformation(image)
    path = str(Path(request["folder"]) / "lobes.nii.gz")
    sitk.WriteImage(labels, path)
    return {"files": {"lobes": path}}
