"""The project's vocabulary: structures, lobes, abnormality labels, windows, planes, conditioning modes.

The words are the paper's (sections 4.1 and 7.1) and CT-RATE's. Tables, file names and prompts take them from here.
"""

import re
import unicodedata
from typing import Literal, get_args

Structure = Literal[
    "lobes",
    "airways",
    "vessels",
    "heart",
    "nodules",
    "ground_glass",
    "consolidation",
    "pleural_effusion",
    "pericardial_effusion",
]
STRUCTURES: tuple[Structure, ...] = get_args(Structure)
"""The four anatomies and five abnormalities of masks. A mask of ``lobes`` holds the lobes' boundaries."""

ANATOMIES: frozenset[Structure] = frozenset({"lobes", "airways", "vessels", "heart"})
"""The structures that everybody has: a tool that finds nothing of one has failed."""

STRUCTURE_WORDS: dict[Structure, str] = {
    "lobes": "lung lobes",
    "airways": "airways",
    "vessels": "lung vessels",
    "heart": "heart",
    "nodules": "lung nodules",
    "ground_glass": "ground glass opacity",
    "consolidation": "consolidation",
    "pleural_effusion": "pleural effusion",
    "pericardial_effusion": "pericardial effusion",
}
"""Name of a structure in a pre-prompt."""

COLOURS = ("#ffd400", "#00c8ff", "#ff5a5a", "#6dff6d", "#ff7bff", "#ff9e2c", "#a48bff", "#00ffc8", "#ffffff")
"""Of the structures, in their order, wherever outlines are drawn."""

EDITED_REGION = "edited region"
"""Name of the mask, and of the DICOM segment, that says where a CT was edited."""

LOBES: dict[int, str] = {1: "left_upper", 2: "left_lower", 3: "right_upper", 4: "right_middle", 5: "right_lower"}
"""Labels of a lobe map on the grid."""

ABNORMALITY_LABELS: tuple[str, ...] = (
    "Medical material",
    "Arterial wall calcification",
    "Cardiomegaly",
    "Pericardial effusion",
    "Coronary artery wall calcification",
    "Hiatal hernia",
    "Lymphadenopathy",
    "Emphysema",
    "Atelectasis",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
    "Pleural effusion",
    "Mosaic attenuation pattern",
    "Peribronchial thickening",
    "Consolidation",
    "Bronchiectasis",
    "Interlobular septal thickening",
)
"""CT-RATE's 18 columns, in its order."""

Window = Literal["lung", "vessel", "soft_tissue", "bone"]
WINDOWS_HU: dict[Window, tuple[float, float]] = {
    "lung": (-1350.0, 150.0),
    "vessel": (-250.0, 450.0),
    "soft_tissue": (-125.0, 225.0),
    "bone": (-700.0, 1300.0),
}
"""Lower and upper HU of the paper's [level, width] windows: [-600, 1500], [100, 700], [50, 350], [300, 2000]."""

SYNTHETIC = "SYNTHETIC"
"""First word of the description in a file's header that says that a model made the volume, and on its pictures."""

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)
"""The patient's sides."""

Plane = Literal["axial", "sagittal", "coronal"]
PLANE_AXIS: dict[Plane, int] = {"axial": 0, "coronal": 1, "sagittal": 2}
"""The array axis (depth, height, width) along which a plane's slices are stacked."""

Split = Literal["train", "test"]
SeriesRule = Literal["largest", "thinnest", "only"]
"""Of several DICOM series of a study: the one of most voxels, the one of the nearest slices, or none."""
Precision = Literal["bf16", "float32"]
"""Arithmetic of a trained network: bfloat16 under autocast, or float32 throughout."""
PrecisionSetting = Literal["auto", "bf16", "float32"]
"""The same in a configuration; ``auto`` leaves the choice to the device."""
MIN_SUBVOXEL_CHANNELS = 4
"""Channels of each level of a tokenizer of the layout ``subvoxel``: the image and a constant that carries its scale
through the last normalisation, both with both signs."""
BUNDLED = "bundled"
"""The word for the files that ship with the package, where a configuration names a file."""
Mode = Literal["report", "mask", "both", "neither"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""The conditions given to the model: section 3.3, conditioning randomization."""

CT_RATE_NAME = re.compile(r"^(train|valid)_(\d+)_([a-z]+)_(\d+)$", re.IGNORECASE)
"""CT-RATE's volumes: split, patient, scan, reconstruction; ``train_1_a_1`` lies in ``train_1/train_1_a``."""

REPORT, NEITHER = "report", "neither"
"""Conditions of volumes made without a mask: from a report alone, and from nothing."""
JOINT: dict[Structure, str] = {structure: f"{REPORT}_and_{structure}" for structure in STRUCTURES}
"""Conditions of volumes made from a report and the mask of a structure together."""
CONDITIONS: tuple[str, ...] = (REPORT, NEITHER, *STRUCTURES, *JOINT.values())
"""All conditions, as file names and tables have them; a mask alone is called by its structure."""


VOLUME_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr")
"""Ends of the names of files that hold a volume each."""

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
"""Ends of the names of archives, which may hold a DICOM study."""

CASE_SUFFIXES = (*VOLUME_SUFFIXES, *ARCHIVE_SUFFIXES)
"""Ends that a case's name does not have."""

_WRAPPED = re.compile(r"""^[\s=]*["'`\u2018-\u201f\u00ab]+\s*|^\s+|\s*["'`\u2018-\u201f\u00bb]+\s*$|\s+$""")
"""Quotes and white space around a name in a table; spreadsheets write ``="name"``."""


def structure_of(words: str) -> Structure | None:
    """Return the structure that is called so in a pre-prompt; None for words of the user's own."""
    return next((name for name, known in STRUCTURE_WORDS.items() if known == words), None)


def condition_name(structure: Structure | None, *, with_report: bool) -> str:
    """Return the condition of a volume that is made from a mask of `structure` or none, with a report or without."""
    if structure is None:
        return REPORT if with_report else NEITHER
    return JOINT[structure] if with_report else structure


def volume_key(name: str) -> str:
    """Return the name that matches volumes to rows: no folder, no suffix, no quotes, composed characters."""
    return volume_path(name)[-1]


def volume_path(name: str) -> tuple[str, ...]:
    """Return the folders of a volume's name, and its `volume_key` after them, which may be empty."""
    if not (name.isascii() and name.isprintable()):
        visible = "".join(letter for letter in name if unicodedata.category(letter) not in ("Cc", "Cf"))
        name = unicodedata.normalize("NFC", visible)
    if not (name[:1].isalnum() and name[-1:].isalnum()):
        name = _WRAPPED.sub("", name)
    *folders, stem = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")] or [""]
    lowered = stem.lower()
    suffix = next((suffix for suffix in CASE_SUFFIXES if lowered.endswith(suffix)), "")
    return (*folders, stem[: len(stem) - len(suffix)])
