"""The facts that a stage records about a case, and the names of the files it leaves.

Stages do not call each other: one writes a record of each case, the next reads it. These dataclasses are the contract
between them. ``store/artefacts.py`` is the only place that turns them into JSON and back, strictly: a missing, unknown
or mistyped key stops the run. A field with the metadata `SPARSE` is written only where it holds something.
"""

from dataclasses import dataclass, field
from typing import Literal

from medsyn2.vocabulary import STRUCTURES, Split, Structure

CT_FILE = "ct.nii.gz"
OVERLAY_FILE = "overlay.png"

REAL, RECONSTRUCTED = "real", "reconstructed"
"""A held-out case's registered CT, and the same after the tokenizer, beside its synthetic volumes."""

MaskState = Literal["absent", "empty", "present"]
SPARSE = {"sparse": True}
"""Metadata of a field that is left out of the record where it is None."""

Triple = tuple[float, float, float]


def mask_file(structure: Structure) -> str:
    """Return the file name of a structure's mask, as the model gets it."""
    return f"{structure}.nii.gz"


def region_file(structure: Structure) -> str:
    """Return the file name of the region that a segmenter can find again: of the lobes' boundaries, the lobes."""
    return "lobe_labels.nii.gz" if structure == "lobes" else mask_file(structure)


def found_file(volume: str, structure: Structure) -> str:
    """Return the file name of a structure that was found in a volume of a held-out case; of the lobes, the lungs."""
    return f"{volume}/{structure}.nii.gz"


@dataclass(frozen=True)
class Listed:
    """The cohort's entry of a case, kept where its file is refused; empty in the records of later stages."""

    subject: str | None = field(default=None, metadata=SPARSE)
    split: Split | None = field(default=None, metadata=SPARSE)
    path: str | None = field(default=None, metadata=SPARSE)


@dataclass(frozen=True)
class CaseFacts:
    """The facts that every stage carries on."""

    subject: str  # The patient
    split: Split  # Whether the case is trained on or held out


@dataclass(frozen=True)
class Report:
    """The two parts of a report that the method uses; None for an absent part."""

    findings: str | None = None
    impression: str | None = None


@dataclass(frozen=True)
class HuScale:
    """Conversion of one file's values: HU = slope * value + intercept."""

    convention: Literal["hu", "stored"]  # ``hu`` (slope 1, intercept 0) or ``stored``
    slope: float  # HU per unit
    intercept: float  # HU of the value 0
    air_hu: float | None  # Most frequent HU of air, to 10 HU; None if the file shows no air


@dataclass(frozen=True)
class Padding:
    """A value that fills what the scanner did not measure, and the rim that interpolation has mixed with it."""

    value: float  # In the file's units
    rim_voxels: int  # Width of the rim within a slice
    rim_slices: int  # Slices beside a blank one that are mixed with it


@dataclass(frozen=True)
class AffineRepair:
    """The affine to LPS (4 x 4, mm) that replaces the header's, and the code of the header's fault."""

    reason: str
    affine_mm: tuple[tuple[float, ...], ...]


AnatomyFinding = Literal[
    "axes-turned", "upside-down", "back-to-front", "mirrored", "chest-repeated", "lungs-cut", "one-lung"
]


@dataclass(frozen=True)
class AnatomyFacts:
    """The anatomy that a CT shows by itself; ``ct/anatomy`` explains the evidence.

    Evidence goes from -1, against the header, to 1, for it; a piece that the CT does not show is left out.
    """

    lung_ml: float  # Volume of the lungs' air; 0 if no lungs are seen
    up: dict[str, float]  # Evidence for up and down
    back: dict[str, float]  # Evidence for front and back
    left: dict[str, float]  # Evidence for left and right
    cut: tuple[float, float]  # Section of the lungs in the lowest and the highest slice, over the largest
    left_share: float  # Share of the left lung
    findings: tuple[AnatomyFinding, ...] | None  # The conclusions that are clear; None if the header is trusted


@dataclass(frozen=True)
class ScanFacts:
    """The decision on a CT file, which every later reader of the file follows."""

    path: str  # The file, or the folder of DICOM slices
    shape: tuple[int, int, int]  # Voxels (depth, height, width)
    spacing_mm: Triple  # Depth, height, width
    orientation: str  # Of the file's axes, such as LPS
    hu: HuScale  # The meaning of the values
    image: str  # Hash of the HU, the same in each file of the same scan
    affine_repair: AffineRepair | None  # The affine that is used in place of the header's
    warnings: tuple[str, ...]  # Oddities that were let through
    anatomy: AnatomyFacts = field(kw_only=True)  # The chest by itself
    # First slice with an image and the one after the last; None where all have one
    slices: tuple[int, int] | None = field(default=None, kw_only=True, metadata=SPARSE)
    # Padding that is set to air; None where its values read as air, or below
    padding: tuple[Padding, ...] | None = field(default=None, kw_only=True, metadata=SPARSE)
    # Which DICOM series of the folder; None for a file of another format
    series: str | None = field(default=None, kw_only=True, metadata=SPARSE)


@dataclass(frozen=True)
class InventoryFacts(ScanFacts, CaseFacts):
    """A usable file of the cohort with its report and labels."""

    position: int  # Place in the cohort's order
    content: str | None  # Hash of the file's content
    report: Report | None  # None if there is none
    labels: dict[str, int] | None  # The 18 abnormality labels, 0 or 1; None if there are none

    @property
    def voxels(self) -> dict[str, object]:
        """The facts that decide the voxels that are read."""
        scan = {"content": self.content, "shape": self.shape, "hu": self.hu, "affine_repair": self.affine_repair}
        rare = {"slices": self.slices, "padding": self.padding, "series": self.series}
        return scan | {name: fact for name, fact in rare.items() if fact is not None}


@dataclass(frozen=True)
class AlignmentFacts:
    """A registration to the template; ``ct/registration/alignment.py`` explains the numbers."""

    template_to_native_lps_mm: tuple[tuple[float, ...], ...]
    lung_dice: float
    lung_inside: float
    lung_covered: float
    lung_ml: float
    similarity: float
    rotation_deg: float
    scales: Triple
    orientation: dict[str, float]
    start: str


@dataclass(frozen=True)
class RegisterFacts(AlignmentFacts, CaseFacts):
    """A case on the template's grid, in `CT_FILE`, with a picture in `OVERLAY_FILE`."""

    warnings: tuple[str, ...]


@dataclass(frozen=True)
class LabelMapFacts:
    """A label map: the tool that made it, the names of its labels, the versions of the tool's packages."""

    tool: str
    names: dict[int, str]
    versions: dict[str, str] | None = field(default=None, metadata=SPARSE)


@dataclass(frozen=True)
class FailureFacts:
    """Why a tool has no label map of a structure."""

    tool: str
    code: str
    message: str


@dataclass(frozen=True)
class SegmentFacts(CaseFacts):
    """The label maps of a case, in `mask_file` of each structure, on the grid of `space`."""

    space: Literal["native", "registered"]
    structures: dict[Structure, LabelMapFacts]
    # The structures that their tools could not find
    failures: dict[Structure, FailureFacts] | None = field(default=None, metadata=SPARSE)


@dataclass(frozen=True)
class MaskFacts:
    """The state of a structure in a case: ``absent`` if no tool looked for it, or the one that did failed."""

    state: MaskState
    volume_ml: float
    tool: str | None
    problem: str | None = field(default=None, metadata=SPARSE)  # The reason of a failure


@dataclass(frozen=True)
class MasksFacts(CaseFacts):
    """The masks of a case on the model's grid: `mask_file` and `region_file` of each structure that is present."""

    masks: dict[Structure, MaskFacts]

    def state(self, structure: Structure) -> MaskState:
        """Return the state of a structure."""
        return self.masks[structure].state if structure in self.masks else "absent"

    @property
    def states(self) -> dict[Structure, MaskState]:
        """The state of every structure."""
        return {structure: self.state(structure) for structure in STRUCTURES}

    @property
    def present(self) -> tuple[Structure, ...]:
        """The structures that have a mask."""
        return tuple(structure for structure in STRUCTURES if self.state(structure) == "present")


@dataclass(frozen=True)
class ChannelSums:
    """Count, sum and sum of squares of latents, by channel."""

    count: int
    sum: tuple[float, ...]
    sum_of_squares: tuple[float, ...]


@dataclass(frozen=True)
class LatentSums:
    """The sums of a case's image latents and of the latents of each mask that it has."""

    image: ChannelSums
    masks: dict[Structure, ChannelSums]


@dataclass(frozen=True)
class LatentOrigin:
    """The network and the settings that latents were made with."""

    tokenizer: str  # sha256 of the tokenizer
    clip_hu: tuple[float, float]  # HU range that the tokenizer saw
    window: tuple[int, int, int] | None  # Voxels that were encoded at once; None for the whole volume
    overlap: float  # Share of a window that overlaps the next
    shape: tuple[int, int, int, int]  # Of the latents of a volume or mask (z, ld, lh, lw)


@dataclass(frozen=True)
class LatentsFacts(CaseFacts):
    """The latents of a case: their origin, the state of each structure, and the sums for the cohort's statistics."""

    masks: dict[Structure, MaskState]
    sums: LatentSums
    origin: LatentOrigin


@dataclass(frozen=True)
class TextFacts(CaseFacts):
    """The embedded report of a case: numbers of tokens, and the text that did not fit."""

    encoder: dict[str, str]  # sha256 of each file of the text encoder that decides the embeddings
    max_tokens: int  # The most tokens that were kept of any report
    has_report: bool  # Whether there is one; the numbers are 0 otherwise
    num_tokens: int = 0
    num_unknown: int = 0
    num_cut: int = 0
    cut_text: str = ""
    warnings: tuple[str, ...] = ()  # What deserves a look, such as another language


@dataclass(frozen=True)
class ImageQuality:
    """A held-out volume after the tokenizer, compared with itself before."""

    ssim_gaussian: float
    ssim_box: float
    psnr_db: float
    psnr_db_body: float
    mae_hu: float
    mae_hu_body: float


@dataclass(frozen=True)
class MaskQuality:
    """A held-out mask after the tokenizer, compared with itself before; None where a value is undefined."""

    segmenter: str
    dice: float | None
    jaccard: float | None
    surface_dice: float | None
    hd95_max_mm: float | None
    hd95_pooled_mm: float | None
    assd_mm: float | None
    both_empty: bool
    missed: bool
    false_alarm: bool


@dataclass(frozen=True)
class ReconstructionFacts(CaseFacts):
    """A held-out case after the tokenizer: the volume in `CT_FILE`, each mask in its `mask_file`."""

    image: ImageQuality
    masks: dict[Structure, MaskQuality]


@dataclass(frozen=True)
class SampledVolume:
    """A synthetic volume: the condition it was given, and its file."""

    condition: str
    mode: str
    structure: Structure | None
    seed: int
    file: str


@dataclass(frozen=True)
class SampleFacts(CaseFacts):
    """The synthetic volumes of a held-out case."""

    samples: tuple[SampledVolume, ...]


@dataclass(frozen=True)
class FoundMask:
    """A structure that a tool looked for in a volume of a held-out case; its mask is in `found_file`."""

    volume: str  # The condition of a synthetic volume, `REAL` or `RECONSTRUCTED`
    structure: Structure
    tool: str
    problem: str | None = field(default=None, metadata=SPARSE)  # The reason why there is no mask


@dataclass(frozen=True)
class FoundFacts(CaseFacts):
    """The structures that were looked for in the volumes of a held-out case."""

    masks: tuple[FoundMask, ...]
