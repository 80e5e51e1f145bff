"""Sections of the stages that turn CT files and reports into volumes and masks on one grid."""

from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from medsyn2.config.base import COMPRESSION, Section
from medsyn2.vocabulary import STRUCTURES, Structure

Segmenter = Literal["classical", "lungmask", "totalsegmentator", "medpseg", "ct_rate", "files"]
TOOL_STRUCTURES: dict[Segmenter, tuple[Structure, ...]] = {
    "classical": STRUCTURES,
    "lungmask": ("lobes",),
    "totalsegmentator": (
        "lobes",
        "airways",
        "vessels",
        "heart",
        "nodules",
        "pleural_effusion",
        "pericardial_effusion",
    ),
    "medpseg": ("ground_glass", "consolidation"),
    "ct_rate": ("lobes", "heart", "nodules", "pleural_effusion", "pericardial_effusion"),
    "files": STRUCTURES,
}
"""What each tool can find."""


class GridConfig(Section):
    """The grid every volume is brought to: the template's and the model's. The paper's is 448 x 448 x 448 at 0.7 mm."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 96, 96)
    """Voxels (depth, height, width). Depth must divide by 4, height and width by 8: the tokenizer's compression."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (4.9, 3.2667, 3.2667)
    """Voxel spacing (depth, height, width) in mm."""
    clip_hu: tuple[float, float] = (-1024.0, 1024.0)
    """HU values that become -1 and +1 in the networks; what lies outside is clipped."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        nearest = tuple(
            -(-size // factor) * factor for size, factor in zip(self.shape, COMPRESSION, strict=True)
        )
        if nearest != self.shape:
            raise ValueError(
                f"grid.shape must be divisible by {COMPRESSION}, got {self.shape}; the nearest is {nearest}"
            )
        if self.clip_hu[0] >= self.clip_hu[1]:
            raise ValueError(f"grid.clip_hu must be (low, high) with low < high, got {self.clip_hu}")
        return self


class CohortConfig(Section):
    """Which files are the cohort. Read when the workflow is planned; no stage depends on it as a whole."""

    data_dir: Path | None = None
    """Folder searched for .nii and .nii.gz files, subfolders included. Empty: the embedded phantoms."""
    num_phantoms: PositiveInt = 40
    """How many phantoms the embedded cohort has. Raising it adds cases and leaves the existing ones as they are."""
    reports_csv: Path | None = None
    """Reports: columns VolumeName, Findings_EN, Impressions_EN (CT-RATE's names). Empty: no case has a report."""
    labels_csv: Path | None = None
    """Abnormality labels: VolumeName and CT-RATE's 18 columns. Empty: none."""
    metadata_csv: Path | None = None
    """Acquisition metadata with CT-RATE's columns (RescaleSlope, XYSpacing, ...), needed for its unrepaired volumes."""
    exclude_txt: Path | None = None
    """File names to leave out, one a line (CT-RATE's no_chest lists work)."""
    exclude_dirs: tuple[Annotated[str, Field(pattern=r"^[^/]+$")], ...] = ("ts_seg",)
    """Names of folders to leave out, at any depth: CT-RATE's masks lie in ts_seg under the names of its CTs."""
    subjects_csv: Path | None = None
    """Whose scan a file is: columns VolumeName, Subject. Files without a row, and without a name of CT-RATE's, are a
    subject each."""
    reconstruction: Literal["first", "all"] = "first"
    """Which reconstructions of a CT-RATE scan are used: ``first`` takes the lowest number of each."""
    test_every: int = Field(default=4, ge=2)
    """Without CT-RATE's train_/valid_ names, every n-th subject is held out for testing."""
    shard_size: PositiveInt = 20
    """Cases a job works on. 64 suits a cluster. Changing it re-runs everything."""


class PhantomsConfig(Section):
    """The embedded cohort of procedural thoraces, used while ``cohort.data_dir`` is empty."""

    spacing_mm: PositiveFloat = 3.0
    """In-plane spacing of the simulated scanner, varied by +-15 % from case to case."""
    seed: NonNegativeInt = 0
    """Seed of the whole cohort; case i depends on the seed and on i alone."""


class InventoryConfig(Section):
    """Strict reading of every file."""

    hu_convention: Literal["detect", "hu", "stored"] = "detect"
    """What the voxel values are: ``hu``, ``stored`` (rescaled by the metadata), or ``detect``: told by the air peak."""


class TemplateConfig(Section):
    """The common template."""

    path: Path | None = None
    """A given template CT (NIfTI). Empty: it is built from the cohort's training cases."""
    num_cases: PositiveInt = 8
    """Training cases averaged; the first ones of the cohort, so that adding cases leaves the template alone."""
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
    """Gate: share of the template's lungs that the CT's field of view covers; less is a part of a chest."""
    max_rotation_deg: PositiveFloat = 30.0
    """Gate: rotation of the affine."""
    scale_range: tuple[PositiveFloat, PositiveFloat] = (0.6, 1.6)
    """Gate: smallest and largest singular value of the affine."""
    min_lung_inside: float = Field(default=0.95, ge=0, le=1)
    """Gate: share of the case's lungs that lies inside the grid."""
    min_lung_ml: PositiveFloat = 800.0
    """Gate: volume of the lungs found; a head or an abdomen has less."""
    seed: NonNegativeInt = 0
    """Seed of the metric's random samples."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale_range[0] >= self.scale_range[1]:
            raise ValueError(
                f"register.scale_range must be (low, high) with low < high, got {self.scale_range}"
            )
        return self


def _classical() -> dict[Structure, Segmenter | None]:
    return dict.fromkeys(STRUCTURES, "classical")


def _fields(pattern: str) -> set[str]:
    """Return the names in braces; that of broken braces is empty."""
    try:
        return {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
    except ValueError:
        return {""}


class SegmentConfig(Section):
    """Which tool makes which structure, and where."""

    space: Literal["native", "registered"] = "native"
    """Segment the CT as it was acquired, or the registered volume."""
    tools: dict[Structure, Segmenter | None] = Field(default_factory=_classical)
    """Tool of each structure; null leaves the structure out. ``classical`` needs no weights; ``lungmask`` finds lobes,
    ``totalsegmentator`` all but opacities, ``medpseg`` opacities; ``ct_rate`` reads CT-RATE's published masks,
    ``files`` your own."""
    working_spacing_mm: PositiveFloat = 3.0
    """Isotropic spacing at which the classical segmenter works."""
    mask_files: str | None = None
    """Where ``files`` finds masks on the CT's grid: a pattern with {case} and {structure}, such as
    masks/{case}/{structure}.nii.gz."""
    ct_rate_masks: Path | None = None
    """Where ``ct_rate`` finds CT-RATE's masks: its folder dataset/ts_seg."""
    weights_dir: Path | None = None
    """Folder of the tools' weights, as ``medsyn2 fetch`` makes it. Like the keys below it says where, not what:
    changing it segments nothing again."""
    python: dict[Literal["lungmask", "totalsegmentator", "medpseg"], Path] = Field(default_factory=dict)
    """Python of the environment that has a tool; the one that runs medsyn2 where nothing is said."""
    device: Literal["auto", "cpu"] = "auto"
    """Where the tools' networks run; ``auto`` takes a GPU if there is one."""
    time_limit_s: PositiveFloat = 1800.0
    """Longest time a tool may take for one CT; then the case is refused."""

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
    """Share of a structure in a voxel from which the voxel belongs to it, after linear resampling."""
    boundary_dilation_voxels: NonNegativeInt = 1
    """Radius of the cube that widens lobe boundaries; 1 is the paper's 3 x 3 x 3."""
    min_volume_ml: float = Field(default=0.05, ge=0)
    """A mask smaller than this on the grid counts as empty."""
