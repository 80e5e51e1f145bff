"""MedSyn2: controllable 3D chest-CT synthesis from radiology reports and masks.

The public names below are loaded on first use, so that importing the package, as the workflow does for its
configuration, brings in neither torch nor numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsyn2.config import Config, load_config
    from medsyn2.ct.nifti.files import read_ct, read_labels
    from medsyn2.ct.volume import CTVolume, LabelMap
    from medsyn2.errors import MedSyn2Error
    from medsyn2.pipeline import MedSyn2Pipeline

__version__ = "0.1.0"

_HOME = {
    "CTVolume": "medsyn2.ct.volume",
    "Config": "medsyn2.config",
    "LabelMap": "medsyn2.ct.volume",
    "MedSyn2Error": "medsyn2.errors",
    "MedSyn2Pipeline": "medsyn2.pipeline",
    "load_config": "medsyn2.config",
    "read_ct": "medsyn2.ct.nifti.files",
    "read_labels": "medsyn2.ct.nifti.files",
}

__all__ = [
    "CTVolume",
    "Config",
    "LabelMap",
    "MedSyn2Error",
    "MedSyn2Pipeline",
    "load_config",
    "read_ct",
    "read_labels",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'medsyn2' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
