"""Sections of the stages that turn CT files and reports into volumes and masks on one grid."""

from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from medsyn2.config.base import COMPRESSION, OptionalPlace, OptionalText, Place, Section, expand_path
from medsyn2.vocabulary import STRUCTURES, SeriesRule, Structure

Segmenter = Literal["classical", "lungmask", "totalsegmentator", "medpseg", "ct_rate", "files"]
TOOL_STRUCTURES: dict[Segmenter, tuple[Structure, ...]] = {
    "classical": STRUCTURES,
    "lungmask": ("lobes",),
    "totalsegmentator": ("lobes", "airways", "vessels", "heart", "nodules", "pleural_effusion", "pericardial_effusion"),
    "medpseg": ("ground_glass", "consolidation"),
    "ct_rate": ("lobes", "heart", "nodules", "pleural_effusion", "pericardial_effusion"),
    "files": STRUCTURES,
}
"""Structures that each tool can segment."""


def _to_tuple(given: object) -> object:
    """Take a single path for a list of one, and null or empty text for none."""
    if isinstance(given, list | tuple):
        return tuple(path for one in given if (path := expand_path(one)) is not None)
    path = expand_path(given)
    return (path,) if isinstance(path, str | Path) else () if path is None else path


def _folder_names(given: object) -> object:
    """Take a single name for a list of one, null for none, and a name with a slash at its end as the name."""
    names = (given,) if isinstance(given, str) else () if given is None else given
    if not isinstance(names, list | tuple):
        return names
    return tuple(name.rstrip("/") if isinstance(name, str) else name for name in names)


Files = Annotated[tuple[Path, ...], BeforeValidator(_to_tuple, json_schema_input_type=Path | tuple[Path, ...] | None)]
"""One file or a list of them; null for none."""
FolderNames = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[^/]+$")], ...],
    BeforeValidator(_folder_names, json_schema_input_type=str | tuple[str, ...] | None),
]
"""One name of folders or a list of them; null for none."""


class GridConfig(Section):
    """The common grid of the template and the model; the paper's is 448 x 448 x 448 at 0.7 mm."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 96, 96)
    """Voxels (depth, height, width): multiples of 4, 8 and 8, the tokenizer's compression."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (4.9, 3.2667, 3.2667)
    """Voxel spacing (depth, height, width) in mm."""
    clip_hu: tuple[float, float] = (-1024.0, 1024.0)
    """HU range that is mapped to -1 .. +1 in the networks; values outside are clipped."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        nearest = tuple(-(-size // factor) * factor for size, factor in zip(self.shape, COMPRESSION, strict=True))
        if nearest != self.shape:
            raise ValueError(
                f"grid.shape must be divisible by {COMPRESSION}, got {self.shape}; the nearest is {nearest}"
            )
        if self.clip_hu[0] >= self.clip_hu[1]:
            raise ValueError(f"grid.clip_hu must be (low, high) with low < high, got {self.clip_hu}")
        return self


class CohortConfig(Section):
    """Files of the cohort. Read when the workflow is planned; no stage depends on the section as a whole."""

    data_dir: OptionalPlace = None
    """Folder searched for volumes (.nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr) and DICOM studies (folders, or archives, as
    .zip and .tgz), with its subfolders, but not hidden folders and results of runs. Empty: the embedded phantoms."""
    num_phantoms: PositiveInt = 40
    """Number of phantoms in the embedded cohort. Raising it adds cases and leaves the existing ones unchanged."""
    reports_csv: Files = ()
    """Reports: columns VolumeName, Findings_EN, Impressions_EN (CT-RATE's names). A table, or a list of them, such as
    those of CT-RATE's two splits; .csv or .csv.gz. Empty: no case has a report."""
    labels_csv: Files = ()
    """Abnormality labels: VolumeName and CT-RATE's 18 columns; a table or a list of them. Empty: none."""
    metadata_csv: Files = ()
    """Acquisition metadata with CT-RATE's columns (RescaleSlope, XYSpacing, ...), needed for its unrepaired volumes; a
    table or a list of them."""
    exclude_txt: Files = ()
    """Text files with names or paths of files to exclude, one per line (CT-RATE's no_chest lists work); a file or a
    list of them. Where several files have one name, the folder before it tells which."""
    exclude_dirs: FolderNames = ("ts_seg",)
    """Names of folders to exclude, at any depth; a name or a list of them. CT-RATE's masks lie in ts_seg under the
    names of its CTs."""
    subjects_csv: OptionalPlace = None
    """Subjects of the files: columns VolumeName, Subject. A file without a row is a subject of its own, unless its name
    is one of CT-RATE, BIDS (sub-01_...) or nnU-Net (..._0000), or it is a DICOM study, which names its patient."""
    reconstruction: Literal["first", "all"] = "first"
    """Reconstructions of each CT-RATE scan: the one with the lowest number that can be used, or all."""
    test_every: int = Field(default=4, ge=2)
    """Without CT-RATE's train_/valid_ names, every n-th subject is held out for testing."""
    shard_size: PositiveInt = 20
    """Cases per job; 64 suits a cluster. Changing it re-runs everything."""


class PhantomsConfig(Section):
    """The embedded cohort of procedural chests, used if ``cohort.data_dir`` is empty."""

    spacing_mm: PositiveFloat = 3.0
    """In-plane spacing of the simulated scanner, varied by +-15 % between cases."""
    seed: NonNegativeInt = 0
    """Seed of the cohort; case i depends only on the seed and on i."""


class InventoryConfig(Section):
    """Strict reading of every file."""

    hu_convention: Literal["detect", "hu", "stored"] = "detect"
    """Unit of the voxel values: ``hu``, ``stored`` (to be rescaled by the metadata), or ``detect``, by air, lung, fat,
    muscle and bone. A stated unit wins, with a warning where the values speak against it."""
    orientation: Literal["check", "trust"] = "check"
    """Whether a CT must show its chest as the header says (head, back, left), or the header is trusted and a
    contradiction is only a warning."""
    series: SeriesRule = "largest"
    """Series of a DICOM study, of those that the scanner measured: the one of most voxels, the one of the nearest
    slices (``thinnest``), or the study must have one alone (``only``). If it cannot be used, the next is tried."""


class TemplateConfig(Section):
    """The common template."""

    path: OptionalPlace = None
    """An existing template CT (NIfTI). Empty: built from the cohort's training cases."""
    num_cases: PositiveInt = 8
    """Training cases averaged, the first of the cohort, so that adding cases does not change the template."""
    num_rounds: PositiveInt = 2
    """Rounds of registering and averaging."""


class RegisterConfig(Section):
    """Affine registration to the template, and its quality gates."""

    working_spacing_mm: PositiveFloat = 4.0
    """Isotropic spacing of the registration's working images."""
    min_lung_dice: float = Field(default=0.65, ge=0, le=1)
    """Gate: Dice of the lungs with the template's. Healthy lungs reach 0.8 to 0.95, a large effusion leaves 0.7."""
    min_similarity: float = Field(default=0.6, ge=-1, le=1)
    """Gate: correlation of the HU in and around the lungs with the template's. An abdomen has less than 0.5."""
    min_lung_covered: float = Field(default=0.8, ge=0, le=1)
    """Gate: share of the template's lungs in the CT's field of view. Less means that the CT shows only a part of a
    chest."""
    max_rotation_deg: PositiveFloat = 30.0
    """Gate: rotation of the affine."""
    scale_range: tuple[PositiveFloat, PositiveFloat] = (0.6, 1.6)
    """Gate: smallest and largest singular value of the affine."""
    min_lung_inside: float = Field(default=0.95, ge=0, le=1)
    """Gate: share of the case's lungs inside the grid."""
    min_lung_ml: PositiveFloat = 800.0
    """Gate: volume of the lungs; a head or an abdomen has less."""
    seed: NonNegativeInt = 0
    """Seed of the metric's random samples."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scale_range[0] >= self.scale_range[1]:
            raise ValueError(f"register.scale_range must be (low, high) with low < high, got {self.scale_range}")
        return self


def _classical() -> dict[Structure, Segmenter | None]:
    return dict.fromkeys(STRUCTURES, "classical")


def _fields(pattern: str) -> set[str]:
    """Return the names in braces; broken braces give an empty name."""
    try:
        return {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
    except ValueError:
        return {""}


class SegmentConfig(Section):
    """Segmentation: the tool of each structure, and its environment."""

    space: Literal["native", "registered"] = "native"
    """Segment the CT as acquired, or the registered volume."""
    tools: dict[Structure, Segmenter | None] = Field(default_factory=_classical)
    """Tool of each structure; null leaves the structure out. ``classical`` needs no weights; ``lungmask`` segments
    lobes, ``totalsegmentator`` all but opacities, ``medpseg`` opacities; ``ct_rate`` reads CT-RATE's published masks,
    ``files`` your own."""
    working_spacing_mm: PositiveFloat = 3.0
    """Isotropic working spacing of the classical segmenter."""
    mask_files: OptionalText = None
    """Path pattern of the masks for ``files``, on the CT's grid, with {case} and {structure}, such as
    masks/{case}/{structure}.nii.gz."""
    ct_rate_masks: OptionalPlace = None
    """Folder of CT-RATE's masks for ``ct_rate``: its dataset/ts_seg."""
    weights_dir: OptionalPlace = None
    """Folder of the tools' weights, as ``medsyn2 fetch`` makes it. Changing this key or those below repeats no
    segmentation."""
    python: dict[Literal["lungmask", "totalsegmentator", "medpseg"], Place] = Field(default_factory=dict)
    """Python interpreter of each tool's environment; by default the one that runs medsyn2."""
    device: Literal["auto", "cpu"] = "auto"
    """Device of the tools' networks; ``auto`` takes a GPU if there is one."""
    time_limit_s: PositiveFloat = 1800.0
    """Time limit of a tool for one CT; beyond it the case is refused."""

    @model_validator(mode="after")
    def _check_tools(self) -> Self:
        for structure, tool in self.tools.items():
            if tool is not None and structure not in TOOL_STRUCTURES[tool]:
                able = [name for name, found in TOOL_STRUCTURES.items() if structure in found]
                raise ValueError(f"segment.tools: {tool} finds no {structure}; {', '.join(able)} can")
        return self

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if "files" in self.tools.values() and _fields(self.mask_files or "") != {"case", "structure"}:
            raise ValueError(
                "segment.tools uses files, so segment.mask_files must be a pattern with {case} and {structure} and no "
                f"other braces, such as masks/{{case}}/{{structure}}.nii.gz, got {self.mask_files!r}"
            )
        if "ct_rate" in self.tools.values() and self.ct_rate_masks is None:
            raise ValueError(
                "segment.tools uses ct_rate, so segment.ct_rate_masks must be CT-RATE's folder dataset/ts_seg, got null"
            )
        return self


class MasksConfig(Section):
    """From label maps to the nine binary masks on the grid."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Share of a structure above which a voxel belongs to it, after linear resampling."""
    boundary_shape: Literal["cube", "ball"] = "cube"
    """Shape that widens lobe boundaries; a ball in the authors' code, with a radius of 3."""
    boundary_dilation_voxels: NonNegativeInt = 1
    """Radius of that shape; 1 and a cube are the paper's 3 x 3 x 3."""
    min_volume_ml: float = Field(default=0.05, ge=0)
    """Volume on the grid below which a mask counts as empty."""
