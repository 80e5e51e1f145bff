"""MedPSeg in its own process: ground-glass opacity and consolidation.

The package's ``pipeline`` reads its checkpoints from the folder ``medpseg`` below the working directory when its
``debug`` is set, else from where it is installed; here it is the former, so that the weights lie with all others. It
builds its networks for every call; here the built ones are kept and given to the next.

Source: Carmo et al., arXiv:2312.02365; the package's function ``medpseg.pipeline.pipeline``, version 4.1.0.
"""

import os
from pathlib import Path
from typing import Any

from serve import Refusal
from torch_pair import let_torchvision_be_imported

STRUCTURES = ("ggo", "consolidation")
CHECKPOINTS = ("poly_medseg_25d_fix.ckpt", "poly_lung.ckpt")


class Notes:
    """Where the package puts its messages; it reports a failure as a message too."""

    def __init__(self) -> None:
        self.failure: Any = None
        self.no_lung = False

    def put(self, message: Any) -> None:
        """Shorten a message."""
        if isinstance(message, Exception):
            self.failure = message
        elif isinstance(message, tuple) and "Lung not found" in str(message[1]):
            self.no_lung = True


def prepare(settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Check the checkpoints, and let the package keep its networks.

    Args:
        settings: ``weights`` (the folder ``medpseg`` of the checkpoints), ``output`` (where the package writes) and
            ``cpu``.
    """
    folder = Path(settings["weights"]).resolve()
    missing = [name for name in CHECKPOINTS if not (folder / name).is_file()]
    if missing:
        raise Refusal(
            "environment_error",
            "weights-missing",
            f"MedPSeg needs {', '.join(missing)} in {folder}",
            "run `medsyn2 fetch medpseg --to DIR` where there is a network",
        )
    let_torchvision_be_imported()
    _allow_settings()
    import medpseg
    import medpseg.pipeline as package

    for name in ("PolySegmentationPipeline", "SegmentationPipeline"):
        setattr(package, name, _build_once(getattr(package, name)))
    os.chdir(folder.parent)
    labels = {name: {"1": name} for name in STRUCTURES}
    return settings, {"versions": {"medpseg": medpseg.__version__}, "labels": labels}


def segment(settings: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Let the package write its files, and name the two that are wanted."""
    import medpseg.pipeline as package

    output = Path(settings["output"])
    output.mkdir(exist_ok=True)
    for left in output.iterdir():
        left.unlink()
    notes = Notes()
    package.pipeline(
        runlist=[request["ct"]],
        batch_size=1,
        output_path=str(output),
        display=False,
        info_q=notes,
        cpu=settings["cpu"],
        windows_itksnap_path="",
        linux_itksnap_path="",
        debug=True,
        act=False,
        post=False,
        lobe_seg=False,
        cli=True,
    )
    if notes.no_lung:
        raise Refusal(
            "case_error", "no-lungs", "MedPSeg found no lungs in the CT", "look at this CT: is it a chest, in HU"
        )
    if notes.failure is not None:
        raise notes.failure
    files = {name: str(next(output.glob("*_" + name + ".nii.gz"))) for name in STRUCTURES}
    return {"files": files}


def _allow_settings() -> None:
    """Let torch read the training settings in the checkpoints, and no other object."""
    from argparse import Namespace

    import torch

    if hasattr(torch.serialization, "add_safe_globals"):
        torch.serialization.add_safe_globals([Namespace])


def _build_once(cls: Any) -> Any:
    built: dict[str, Any] = {}

    def build(**arguments: Any) -> Any:
        key = repr(sorted(arguments.items()))
        if key not in built:
            try:
                built[key] = cls(**arguments)
            except Exception as error:
                raise Refusal(
                    "environment_error",
                    "weights-unreadable",
                    f"MedPSeg cannot read its checkpoints: {type(error).__name__}: {str(error)[-300:]}",
                    "compare them with SHA256SUMS; if they hold objects that torch does not read safely, give this "
                    "tool an environment with a torch of its authors' time (before 2.6)",
                ) from error
        return built[key]

    return build
