"""Sections of sampling, of the evaluation and of the report."""

from math import inf
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from medsyn2.config.base import FileName, OptionalPlace, Place, Section, Structures
from medsyn2.config.preparation import Segmenter
from medsyn2.vocabulary import CONDITIONS, STRUCTURES, Split, Structure, Window


class SampleConfig(Section):
    """Which samples of the held-out cases are made; the section sampling says how."""

    structures: Structures = ("lobes",)
    """Structures whose mask is sampled without the report, one volume each."""
    joint: Structures = ()
    """Structures whose mask is sampled together with the report, one volume each, of the cases that have both."""
    with_report: bool = True
    """Also sample from the report alone; a case without a report is then sampled from nothing (``neither``)."""
    max_cases: PositiveInt | None = None
    """At most this many test cases of each shard are sampled; null takes all."""
    seed: NonNegativeInt = 0
    """Seed; each sample's own seed derives from it, the case and the condition."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.num_conditions:
            raise ValueError(
                "sample.structures and sample.joint are empty and sample.with_report false, so that nothing would be "
                "sampled; name structures, or set with_report to true"
            )
        return self

    @property
    def num_conditions(self) -> int:
        """Volumes of a case that has a report and every mask."""
        return self.with_report + len(self.structures) + len(self.joint)

    @property
    def all_structures(self) -> tuple[Structure, ...]:
        """Structures whose mask some volume is made from, with the report or without."""
        return tuple(name for name in STRUCTURES if name in {*self.structures, *self.joint})


class Baseline(Section):
    """Another generator's folder of NIfTI volumes in HU."""

    folder: Place
    """Folder, subfolders included."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Spacing (depth, height, width) that replaces the headers'; null trusts the headers."""
    in_hu: bool = False
    """Accept the values as HU even if they do not look like HU."""
    clip_hu: tuple[float, float] | None = None
    """HU range to which the baseline and the real volumes are clipped, such as [-1024, 600] for a generator that ends
    at 600 HU; null takes the protocol's range. Only with the protocol ``paper``: the others have a fixed range."""
    patients: OptionalPlace = None
    """CSV with the columns id and patient: the patient whose report or mask each volume was generated from, where the
    id is the volume's path below the folder. Null: an id equal to a case of the cohort belongs to that case's patient,
    any other id to a patient of its own."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.clip_hu is not None and not -inf < self.clip_hu[0] < self.clip_hu[1] < inf:
            raise ValueError(f"clip_hu must be (low, high) with low < high, got {self.clip_hu}")
        return self


_OURS = {"real", *CONDITIONS}
"""Names of the real volumes and of our conditions, in tables and banks."""


class EvaluateFidConfig(Section):
    """FID in the paper's four windows on three planes, with its floor, its interval and related metrics."""

    protocol: Literal["paper", "maisi", "vlm3d"] = "paper"
    """Preprocessing of volumes before the extractor: the paper's, MAISI's or the VLM3D challenge's."""
    slices_per_volume: PositiveInt | None = 12
    """Maximum number of slices per plane, evenly spaced; null takes all slices of the protocol."""
    radimagenet: OptionalPlace = None
    """RadImageNet's ResNet50 as safetensors. Empty: a weight-free filter bank, whose FID compares only with itself."""
    tiles: bool = False
    """Pool the weight-free filters over 3 x 3 tiles of a slice: another extractor, which sees flips and mirrored lungs
    and takes nine times the space."""
    device: str = Field(default="cpu", pattern="^(cpu|cuda(:[0-9]+)?)$")
    """Device of RadImageNet: cpu, cuda or cuda:N."""
    num_draws: NonNegativeInt = 10
    """Random divisions of the patients: of each come two halves for the floor, and halves and two thirds for the
    extrapolation. One is enough for hundreds of patients. 0 leaves out both; the interval needs none."""
    neighbours: PositiveInt = 5
    """The k of precision, recall, density and coverage."""
    baselines: dict[FileName, Baseline] = Field(default_factory=dict)
    """Other generators by name, compared with the same real volumes, such as
    ``GenerateCT: {folder: generatect, clip_hu: [-1024, 600]}``; further keys are spacing_mm, in_hu and patients."""
    seed: NonNegativeInt = 0
    """Seed of the weight-free filters and of the divisions."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tiles and self.radimagenet is not None:
            raise ValueError("tiles are of the weight-free filters, but radimagenet names RadImageNet's weights")
        for name, baseline in self.baselines.items():
            if name.lower() in _OURS:
                raise ValueError(f"{name} is a name of our own volumes in the tables, name the generator otherwise")
            if baseline.clip_hu is not None and self.protocol != "paper":
                raise ValueError(f"{name} has a clip_hu, but the protocol {self.protocol} has a range of its own")
        return self


class EvaluateMemorisationConfig(Section):
    """Search for copies of training volumes, by thumbnails and by the features of evaluate_fid."""

    max_train: PositiveInt | None = None
    """Maximum number of training volumes searched; null searches all, which a claim about copies needs. Each takes
    0.13 MB of memory."""
    num_copies: PositiveInt = 6
    """Training cases decoded from their latents: a positive control that the search has to find."""
    num_prompts: NonNegativeInt = 5
    """Training cases that are sampled with their own reports and masks, as ``sample`` does held-out ones: a generator
    that has learnt them by heart gives them back. 0 leaves this out."""
    num_pairs: PositiveInt = 8
    """Closest pairs shown for a person to judge."""


class EvaluateMasksConfig(Section):
    """Agreement of generated volumes with the masks that conditioned them."""

    structures: Structures | None = None
    """Structures that are segmented in the generated volumes and compared; null takes those of ``sample.structures``
    and ``sample.joint``."""
    tools: dict[Structure, Segmenter] = Field(default_factory=dict)
    """Tool for a structure, if it differs from that of ``segment.tools``. A structure whose masks were read from files
    needs a tool here, or is left out."""
    surface_tolerance_mm: PositiveFloat = 5.0
    """Distance within which surfaces agree in the surface Dice; one voxel of the default grid."""


class EvaluateHuConfig(Section):
    """HU inside organs and tissues of real and synthetic volumes."""

    robust_sds: PositiveFloat = 3.5
    """Robust standard deviations from the real cases' median beyond which a case is listed as an outlier; 3.5 as in
    Iglewicz and Hoaglin 1993."""


class EvaluateEditsConfig(Section):
    """Edits: one mask with several seeds, report and mask edited together, and structures added one after another."""

    structures: Structures = ("lobes",)
    """Structures whose masks are sampled with several seeds, mirrored and moved; of a finding, one side is kept and the
    whole removed, too. The default's short training learns the lungs, which lie on both sides. Laterality, empty for
    lobes, airways and vessels, needs a one-sided structure: heart, nodules, an effusion."""
    max_cases: PositiveInt = 3
    """Held-out cases per structure, and for the progressive synthesis."""
    num_seeds: int = Field(default=3, ge=2)
    """Seeds per mask."""
    with_report: bool = True
    """Give the report with the mask, except to the volumes of several seeds, and edit it with the mask."""
    move_mm: tuple[float, float, float] = (0.0, 0.0, 10.0)
    """Displacement of a mask along (depth, height, width): to superior, posterior and the patient's left."""
    progressive: Structures = Field(default=("lobes", "nodules"), min_length=2)
    """Structures added one after another, each by its own mask of a case that has all of them."""
    healthy_report: str = Field(
        default="Trachea and both main bronchi are open. Heart size is normal. No pericardial effusion. No pleural "
        "effusion. No consolidation. No ground-glass opacity. No pulmonary nodule.",
        min_length=1,
    )
    """Findings of the first volume of the progressive synthesis. An added structure takes the place of the sentences
    that exclude it, with those of the case's own report on it, or else with its name."""
    strength: float = Field(default=0.75, ge=0, le=1)
    """Share of the way back to noise that a volume takes before a structure is added; 1 regenerates it."""


class EvaluateAttentionConfig(Section):
    """Cross-attention maps of held-out reports."""

    max_cases: PositiveInt = 4
    """Held-out cases with a report."""


class EvaluateScoresConfig(Section):
    """CLIP scores and zero-shot labels of real and synthetic volumes."""

    command: tuple[str, ...] = ()
    """Your vision-language model: a command that gets ``--request FILE --out DIR`` and writes the embeddings
    (docs/how-to/score-with-a-clip-model.md). Empty: a linear space fitted to the training cases, on the features of
    evaluate_fid."""
    windows: tuple[Window, ...] = Field(default=("lung",), min_length=1)
    """HU windows of the linear space's features."""
    scale: PositiveFloat = 10.0
    """Factor of the cosines for zero-shot labels."""
    max_train: PositiveInt | None = None
    """Maximum number of training cases that the space is fitted to; null takes all that have a report."""
    seed: NonNegativeInt = 0
    """Seed of the permutations of patients."""


class EvaluateVariantsConfig(Section):
    """Comparison of the main model with each of ``variants``, on the same cases, masks, noise and times."""

    max_cases: PositiveInt = 8
    """Held-out cases for the flow loss, for the reference rows, and for each structure that a variant left out."""
    num_pictures: PositiveInt = 2
    """Cases shown."""
    denser_hu: PositiveFloat = 300.0
    """Excess in HU over the volume with an empty mask from which a mask of a left-out structure counts as having an
    effect; a third of the way from aerated lung to tissue. Ground glass needs less."""
    diameters_mm: tuple[PositiveFloat, ...] = (10.0, 20.0)
    """Bounds between size groups of lesions: diameters of a sphere of equal volume."""
    seed: NonNegativeInt = 0
    """Seed of the noise of the flow loss."""


IMAGES, MASKS = "tr_im.nii.gz", "tr_mask.nii.gz"
"""Names of the public slices and of their masks."""


class PublicSlices(Section):
    """MedSeg's 100 labelled slices (medicalsegmentation.com; figshare 13521488, version 2) instead of the cohort's."""

    folder: Place
    """Folder with tr_im.nii.gz and tr_mask.nii.gz as published."""
    split: Place
    """JSON with the numbers, from 0, of the training and test slices: ``{"train": [...], "test": [...]}``."""
    pixel_mm: PositiveFloat | None = None
    """Pixel size for the distances; null trusts the header, although the slices come from pictures of any size."""

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The slices, their masks and the split."""
        return self.folder / IMAGES, self.folder / MASKS, self.split


class EvaluateAugmentationConfig(Section):
    """A segmentation network for slices, trained on real slices, on synthetic slices, and on both."""

    structure: Structure = "heart"
    """Structure to segment; ``lobes`` stands for the lungs. The paper's is ``ground_glass``: only 4 of the embedded
    cohort's 10 held-out cases have it, too few for an interval, and the default's short training does not learn it."""
    min_area_mm2: NonNegativeFloat = 200.0
    """Minimum area of the structure in a slice; each volume gives its axial slice with the largest area."""
    max_real: PositiveInt | None = 2
    """Real training slices, drawn with the seed; null takes all. Few, as in the paper, where they are an eighth of the
    synthetic ones: with many, synthetic slices have nothing to add."""
    max_synthetic: PositiveInt | None = 5
    """Synthetic slices, one per volume, from masks of other cases if there are enough; 416 in the paper; null makes one
    from each mask."""
    masks_from: Split = "train"
    """Split whose masks condition the synthetic volumes; ``test`` needs ``public``, so that test masks are not trained
    on."""
    relabel: bool = False
    """Label each synthetic volume by segmentation, not by the mask that conditioned it."""
    public: PublicSlices | None = None
    """Public training and test slices, as in the paper; null takes the cohort's own."""
    image_size: PositiveInt = 64
    """Side in pixels to which slices are resampled; a multiple of 2 to the power of ``num_levels`` - 1."""
    channels: PositiveInt = 8
    """Channels of the U-Net's first level."""
    num_levels: PositiveInt = 4
    """Levels of the U-Net."""
    num_steps: PositiveInt = 30
    """Optimizer steps, the same for each training set."""
    batch_size: PositiveInt = 2
    """Slices per step."""
    learning_rate: PositiveFloat = 1e-2
    """Adam's learning rate."""
    num_seeds: PositiveInt = 5
    """Networks per training set, each with its own seed."""
    surface_tolerance_mm: PositiveFloat = 5.0
    """Distance within which surfaces agree in the surface Dice; one voxel of the default grid."""
    seed: NonNegativeInt = 0
    """Seed of drawing slices and of the networks."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        smallest = 2 ** (self.num_levels - 1)
        if self.image_size % smallest or self.image_size < 2 * smallest:
            raise ValueError(
                f"evaluate_augmentation.image_size must be a multiple of {smallest}, at least {2 * smallest}, for "
                f"{self.num_levels} levels, got {self.image_size}"
            )
        if self.masks_from == "test" and self.public is None:
            raise ValueError(
                "evaluate_augmentation.masks_from must be train without public slices: the held-out cases are tested"
            )
        return self


class EvaluateTokenizerConfig(Section):
    """Reconstruction by the tokenizer."""

    max_cases: PositiveInt | None = 3
    """Maximum number of test cases; null takes all."""
    surface_tolerance_mm: PositiveFloat = 5.0
    """Distance within which surfaces agree in the surface Dice; one voxel of the default grid."""
    mask_threshold: float = Field(default=0.0, ge=-0.5, le=0.5)
    """Decoded value above which a voxel belongs to the mask; masks are encoded as -0.5 and 0.5."""


class ReportConfig(Section):
    """The page results/report.html."""

    max_panels: PositiveInt = 6
    """Synthetic volumes shown beside their real case."""
    title: str = Field(default="MedSyn2 run", max_length=120)
    """Title of the page."""
