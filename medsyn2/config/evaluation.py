"""Sections of sampling, of the evaluation and of the report."""

from math import inf
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from medsyn2.config.base import FileName, Section, Structures
from medsyn2.config.preparation import Segmenter
from medsyn2.vocabulary import STRUCTURES, Split, Structure, Window


class SampleConfig(Section):
    """Which samples of the held-out cases are made; the section sampling says how."""

    structures: Structures = ("lobes",)
    """Structures whose mask is sampled, one volume each, without the report."""
    with_report: bool = True
    """Also sample from the report alone; a case without a report is then sampled from nothing."""
    max_cases: PositiveInt | None = None
    """At most this many test cases of each shard are sampled; null takes all."""
    seed: NonNegativeInt = 0
    """Seed; each sample's own seed derives from it, the case and the condition."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.structures and not self.with_report:
            raise ValueError(
                "sample.structures is empty and sample.with_report false, so that nothing would be sampled; name "
                "structures, or set with_report to true"
            )
        return self


class Baseline(Section):
    """Another generator's folder of NIfTI volumes in HU."""

    folder: Path
    """Folder, subfolders included."""
    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None
    """Spacing (depth, height, width) in place of the headers'; null trusts the headers."""
    in_hu: bool = False
    """The values are HU, though they may not look like it; else they must."""
    clip_hu: tuple[float, float] | None = None
    """HU range that it and the real volumes are clipped to, such as [-1024, 600] for a generator that ends at 600 HU;
    null takes the protocol's, which both must fill. Of the protocol ``paper`` alone: the others have their own."""
    patients: Path | None = None
    """CSV with the columns id and patient: whose report or mask each volume was generated from; the id is its path
    below the folder. Null: an id that is a case of the cohort is of that case's patient, any other of its own."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.clip_hu is not None and not -inf < self.clip_hu[0] < self.clip_hu[1] < inf:
            raise ValueError(f"clip_hu must be (low, high) with low < high, got {self.clip_hu}")
        return self


_OURS = {"real", "report", *STRUCTURES}
"""What the real volumes and those of our own conditions are called, in tables and banks."""


class EvaluateFidConfig(Section):
    """FID in the paper's four windows on three planes, with its floor, interval and companions."""

    protocol: Literal["paper", "maisi", "vlm3d"] = "paper"
    """What is done to a volume before the extractor: the paper's, MAISI's or the VLM3D challenge's way."""
    slices_per_volume: PositiveInt | None = 12
    """At most this many slices a plane, evenly spaced; null takes all that the protocol takes."""
    radimagenet: Path | None = None
    """RadImageNet's ResNet50 as safetensors. Empty: a weight-free bank of filters, comparable with nothing else."""
    device: str = Field(default="cpu", pattern="^(cpu|cuda(:[0-9]+)?)$")
    """Where RadImageNet runs: cpu, cuda or cuda:N."""
    num_draws: NonNegativeInt = 40
    """Resamples of patients for the 95 % interval; a quarter as many splits for the floor, and subsets of each size for
    the extrapolation. 0: none of them."""
    neighbours: PositiveInt = 5
    """The k of precision, recall, density and coverage."""
    baselines: dict[FileName, Baseline] = Field(default_factory=dict)
    """Other generators by name, compared with the same real volumes, such as
    ``GenerateCT: {folder: generatect, clip_hu: [-1024, 600]}``; further keys are spacing_mm, in_hu and patients."""
    seed: NonNegativeInt = 0
    """Seed of the weight-free filters and of the draws."""

    @model_validator(mode="after")
    def _baselines_stand_apart(self) -> Self:
        for name, baseline in self.baselines.items():
            if name.lower() in _OURS:
                raise ValueError(
                    f"{name} is what the tables call volumes of ours, name the generator otherwise"
                )
            if baseline.clip_hu is not None and self.protocol != "paper":
                raise ValueError(
                    f"{name} has a clip_hu, but the protocol {self.protocol} has a range of its own"
                )
        return self


class EvaluateMemorisationConfig(Section):
    """Search for copies of training volumes, by thumbnails and with the features of evaluate_fid."""

    max_train: PositiveInt | None = None
    """At most this many training volumes are searched; null takes all, as a search for copies should. Each takes
    0.13 MB of memory."""
    num_copies: PositiveInt = 6
    """Training cases that are decoded from their latents, a control that the search has to find."""
    num_pairs: PositiveInt = 8
    """The closest pairs, drawn for a person to judge."""


class EvaluateMasksConfig(Section):
    """Agreement of generated volumes with the masks they were asked for."""

    structures: Structures | None = None
    """Structures that are segmented again and compared; null: all that volumes were generated from masks of
    (``sample.structures``)."""
    tools: dict[Structure, Segmenter] = Field(default_factory=dict)
    """Tool that segments a structure again, where it is not the one of ``segment.tools``; masks that were read from
    files need one here, or are left out."""
    surface_tolerance_mm: PositiveFloat = 5.0
    """Surfaces nearer than this agree, in the surface Dice; one voxel of the default grid."""


class EvaluateEditsConfig(Section):
    """One mask with several seeds, masks that are mirrored and moved, and structures added one after the other."""

    structures: Structures = ("lobes",)
    """Structures whose mask is given with several seeds, mirrored, and moved. The default's short training learns the
    lungs; they lie on both sides, so that the laterality of the edits, empty for lobes, airways and vessels, needs one
    with a side: heart, nodules, an effusion."""
    max_cases: PositiveInt = 3
    """Held-out cases of each structure, and of the progressive synthesis."""
    num_seeds: int = Field(default=3, ge=2)
    """Seeds of one mask."""
    move_mm: tuple[float, float, float] = (0.0, 0.0, 10.0)
    """How far a mask is moved along (depth, height, width): to superior, posterior, the patient's left."""
    progressive: Structures = Field(default=("lobes", "nodules"), min_length=2)
    """Structures added one after the other, each by its own mask of a case that has all of them."""
    strength: float = Field(default=0.75, ge=0, le=1)
    """How far a volume is taken back towards its noise before a structure is added; 1 makes it anew."""


class EvaluateAttentionConfig(Section):
    """Cross-attention of held-out reports, sampled once more."""

    max_cases: PositiveInt = 4
    """Held-out cases with a report."""


class EvaluateScoresConfig(Section):
    """CLIP scores and zero-shot labels of real and synthetic volumes."""

    command: tuple[str, ...] = ()
    """Your vision-language model: a command that gets ``--request FILE --out DIR`` and writes the embeddings
    (docs/how-to/score-with-a-clip-model.md). Empty: a linear space fitted to the training cases, with the features of
    evaluate_fid."""
    windows: tuple[Window, ...] = Field(default=("lung",), min_length=1)
    """HU windows whose features the linear space has."""
    scale: PositiveFloat = 10.0
    """What the model multiplies cosines by, for zero-shot labels."""
    max_train: PositiveInt | None = None
    """At most this many training cases are fitted to; null takes all that have a report."""
    num_draws: int = Field(default=200, ge=2)
    """Resamples of patients for the 95 % intervals."""
    seed: NonNegativeInt = 0
    """Seed of the resamples."""


class EvaluateVariantsConfig(Section):
    """Comparison of the main model with each of ``variants``, on the same cases, masks, noise and times."""

    max_cases: PositiveInt = 8
    """Held-out cases of the flow loss, of the reference rows, and of each structure that a variant left out."""
    num_pictures: PositiveInt = 2
    """Cases shown."""
    denser_hu: PositiveFloat = 300.0
    """A mask of a class left out made something where the volume is denser by this than with an empty mask; a third
    of the way from aerated lung to tissue. Ground glass needs less."""
    diameters_mm: tuple[PositiveFloat, ...] = (10.0, 20.0)
    """Bounds between the sizes of lesions, by the diameter of a sphere of their volume."""
    num_draws: NonNegativeInt = 1000
    """Resamples of patients for the 95 % interval of each difference."""
    seed: NonNegativeInt = 0
    """Seed of the noise of the flow loss and of the draws."""


class PublicSlices(Section):
    """MedSeg's 100 labelled slices (medicalsegmentation.com; figshare 13521488, version 2) in place of the cohort's."""

    folder: Path
    """Folder with tr_im.nii.gz and tr_mask.nii.gz as they are published."""
    split: Path
    """JSON with the numbers, from 0, of the slices to train on and to test: ``{"train": [...], "test": [...]}``."""
    pixel_mm: PositiveFloat | None = None
    """Size of a pixel, for the distances; null trusts the header, which was written over pictures of any size."""


class EvaluateAugmentationConfig(Section):
    """A segmentation network for slices, trained on real ones, on synthetic ones, and on both."""

    structure: Structure = "heart"
    """What is segmented; of ``lobes``, the lungs. The paper's is ``ground_glass``, which 4 of the embedded cohort's 10
    held-out cases have, too few for an interval, and which the default's short training does not learn to make."""
    min_area_mm2: NonNegativeFloat = 200.0
    """Each volume gives its axial slice with the most of the structure, if it is at least so much."""
    max_real: PositiveInt | None = 2
    """Real slices trained on, drawn with the seed; few, as in the paper, where they are an eighth of the synthetic
    ones: with many there is nothing to help. Null takes all."""
    max_synthetic: PositiveInt | None = 5
    """Synthetic slices, a volume each, from masks of other cases where there are enough; 416 in the paper; null makes
    one of each mask."""
    masks_from: Split = "train"
    """Whose masks the synthetic volumes are made from; ``test`` needs ``public``, or they would be the test's own."""
    relabel: bool = False
    """Segment each synthetic volume and train on what is found in it, not on the mask it was made from."""
    public: PublicSlices | None = None
    """Public slices to train on and to test, as in the paper; null takes the cohort's own."""
    image_size: PositiveInt = 64
    """Pixels of a side; slices are brought to it. Divides by 2 to the power of ``num_levels`` less one."""
    channels: PositiveInt = 8
    """Channels of the U-Net's first level."""
    num_levels: PositiveInt = 4
    """Levels of the U-Net."""
    num_steps: PositiveInt = 30
    """Optimizer steps, the same for each training set."""
    batch_size: PositiveInt = 2
    """Slices a step."""
    learning_rate: PositiveFloat = 1e-2
    """Adam's learning rate."""
    num_seeds: PositiveInt = 5
    """Networks trained on each set, each from another seed."""
    num_draws: NonNegativeInt = 1000
    """Resamples of test patients for the 95 % intervals; 0: none."""
    surface_tolerance_mm: PositiveFloat = 5.0
    """Surfaces nearer than this agree, in the surface Dice; one voxel of the default grid."""
    seed: NonNegativeInt = 0
    """Seed of the draws, of the networks and of the resamples."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
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
    """Test cases reconstructed; null takes all."""
    surface_tolerance_mm: PositiveFloat = 5.0
    """Surfaces nearer than this agree, in the surface Dice; one voxel of the default grid."""
    mask_threshold: float = Field(default=0.0, ge=-0.5, le=0.5)
    """Decoded value from which a voxel belongs to the mask; the masks lie at -0.5 and 0.5."""


class ReportConfig(Section):
    """The page results/report.html."""

    max_panels: PositiveInt = 6
    """Synthetic volumes shown beside their real case."""
    title: str = Field(default="MedSyn2 run", max_length=120)
    """Title of the page."""
