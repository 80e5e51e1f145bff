"""Sections of the networks and of the stages that train them or run their encoders."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from medsyn2.config.base import CropShape, OptionalText, Section, Structures
from medsyn2.vocabulary import BUNDLED, PrecisionSetting, Structure


class TokenizerConfig(Section):
    """The CT video tokenizer (Open-Sora Plan's CausalVideoVAE)."""

    hidden_channels: PositiveInt = 8
    """Channels of the first level; 128 in the public weights."""
    channel_multipliers: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (1, 2, 4, 4)
    """Channels of the four levels, in multiples of ``hidden_channels``."""
    num_res_blocks: PositiveInt = 1
    """Residual blocks per level; 2 in the public weights."""
    latent_channels: PositiveInt = 16
    """Channels of the latents; 4 in the public weights."""
    norm_groups: PositiveInt = 1
    """Groups of the group normalisation; 32 in the public weights."""
    depth_mode: Literal["uniform_aligned", "uniform_paper", "first_frame"] = "uniform_aligned"
    """Compression of depth by 4, see docs/explanation/conventions.md. ``first_frame`` is for public weights used on
    their own: it takes one slice more than a multiple of 4, which no grid has."""
    layout: Literal["v1.2", "v1.1", "official", "subvoxel"] = "subvoxel"
    """Open-Sora Plan's v1.2 or v1.1; that of the authors' release, which needs the depth mode ``uniform_paper``; or
    ``subvoxel``, v1.2 with a decoder that keeps the finest scale, for small tokenizers trained from scratch."""


class TrainTokenizerConfig(Section):
    """Training of the tokenizer by L1, KL, perceptual (given its weights) and, from ``gan_start``, adversarial loss."""

    num_steps: PositiveInt = 240
    """Optimizer steps."""
    crop_shape: CropShape = (16, 40, 40)
    """Random crops (depth, height, width), no larger than the grid; 96 x 96 x 96 in the paper."""
    batch_size: PositiveInt = 2
    """Crops per micro-step."""
    accumulate: PositiveInt = 1
    """Micro-steps per optimizer step, shared by all processes."""
    learning_rate: PositiveFloat = 1e-4
    """Adam's learning rate; 1e-5 in the paper. 3e-4 and thousands of steps from scratch."""
    warmup_steps: NonNegativeInt = 20
    """Steps of linear warm-up."""
    decay_steps: PositiveInt | None = 240
    """Steps over which the learning rate falls to 0 as half a cosine, at least ``num_steps``; null keeps it constant,
    the paper's one rate."""
    clip_grad_norm: PositiveFloat = 1.0
    """Largest gradient norm."""
    mask_share: float = Field(default=0.25, ge=0, le=1)
    """Share of crops that are random binary volumes, so that a tokenizer trained from scratch also learns masks; 0 in
    the paper, which starts from public weights."""
    kl_weight: NonNegativeFloat = 1e-6
    """Weight of the KL divergence, with both terms averaged over elements. The paper names none; Open-Sora Plan's 1e-6,
    which weighs sums, is 5e-7 here. A larger weight gives simpler latents, which a short training of the transformer
    learns sooner."""
    perceptual_weights: OptionalText = None
    """Network of the perceptual loss, which the paper uses: the JSON file of ``medsyn2 convert perceptual``. Empty:
    training without this loss, which the log says."""
    perceptual_weight: NonNegativeFloat = 1.0
    """Weight of the perceptual loss."""
    gan_weight: NonNegativeFloat = 0.5
    """Scale of the adaptive adversarial weight."""
    gan_start: NonNegativeInt | None = None
    """First step with the discriminator; null trains without it."""
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the exponential moving average that is exported."""
    initial_weights: OptionalText = BUNDLED
    """Tokenizer to start from: the JSON file of converted public weights, or ``bundled``, the tokenizer that ships with
    the package and was trained on phantoms, of these sizes. Empty: from scratch."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Fabric's precision; bf16-mixed on a GPU, or on a CPU that has bfloat16 units (AMX)."""
    num_workers: NonNegativeInt = 0
    """Threads that prefetch volumes; 0 suits a cohort that fits into memory."""
    checkpoint_every: PositiveInt = 100
    """Steps between checkpoints to resume from."""
    seed: NonNegativeInt = 0
    """Seed of initialisation, crops and noise."""


class EncodeLatentsConfig(Section):
    """Encoding of volumes and masks into the latent store."""

    window: CropShape | None = None
    """Sliding window (depth, height, width); null encodes a volume at once."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    """Overlap of neighbouring windows."""
    dtype: Literal["float16", "float32"] = "float16"
    """Data type of stored latents."""


class TrainTextEncoderConfig(Section):
    """The default text encoder: a small BERT and its vocabulary, trained on the cohort's training reports."""

    vocabulary_size: PositiveInt = 1024
    """WordPiece vocabulary, special tokens included."""
    hidden_size: PositiveInt = 64
    """Width of the embeddings; 768 in CXR-BERT."""
    num_layers: PositiveInt = 2
    """Transformer layers."""
    num_heads: PositiveInt = 2
    """Attention heads; must divide ``hidden_size``."""
    max_tokens: int = Field(default=512, ge=3)
    """Positions for tokens; at least ``encode_text.max_report_tokens``."""
    num_steps: NonNegativeInt = 200
    """Steps of masked-language-model training."""
    batch_size: PositiveInt = 16
    """Texts per step."""
    window_tokens: int = Field(default=64, ge=3)
    """Tokens of each text per step, from a random position on, so that all positions are trained."""
    learning_rate: PositiveFloat = 1e-3
    """AdamW's learning rate."""
    seed: NonNegativeInt = 0
    """Seed of initialisation, order and masking."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"train_text_encoder.hidden_size must divide by num_heads, got {self.hidden_size} and {self.num_heads}"
            )
        return self


class EncodeTextConfig(Section):
    """Encoding of reports and pre-prompts into the text store."""

    encoder_dir: OptionalText = None
    """Folder of a BERT in Hugging Face format. By its name ``medsyn2 doctor`` and ``fetch`` know MedSyn's CXR-BERT
    (cxr-bert-medsyn), which the paper has, from Microsoft's. Empty: the encoder trained on the cohort."""
    max_report_tokens: int = Field(default=512, ge=3)
    """Maximum number of report tokens; 512 in the paper. Longer reports are cut and counted."""
    max_prompt_tokens: int = Field(default=32, ge=3)
    """Maximum number of pre-prompt tokens; 32 in the paper."""
    padded: bool = False
    """Pad each text to its maximum and let the transformer attend to the padding as if it were words, as the authors'
    code does. The model keeps it."""


class DiTConfig(Section):
    """The diffusion transformer."""

    width: PositiveInt = 144
    """Feature dimension, a multiple of 6 and of ``num_heads``; 1152 in the paper."""
    depth: PositiveInt = 4
    """Blocks; 16 in the paper."""
    num_heads: PositiveInt = 4
    """Attention heads; the paper does not state it, 16 by convention."""
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (2, 2, 2)
    """Latent voxels per token (depth, height, width); must divide the latents' grid, which is the volumes' by
    (4, 8, 8)."""
    mlp_ratio: PositiveFloat = 4.0
    """Width of the feed-forward layers in multiples of ``width``."""
    qk_norm: bool = True
    """Normalise queries and keys; off in the paper."""
    gate: bool = True
    """Gated attention; off for the ablation of section 7.5."""
    conv: bool = True
    """Depthwise separable convolution in each block; off for the ablation of section 7.5."""
    positions: Literal["sincos", "rope", "both"] = "sincos"
    """Fixed sine-cosine positions added to the tokens, as in DiT, rotations of queries and keys, or both."""
    layout: Literal["paper", "official"] = "paper"
    """The paper's blocks, or those of the authors' release: convolution in parallel to the block and not after it,
    biased gates, three times as many heads in cross-attention."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % 6 or self.width % self.num_heads:
            raise ValueError(
                f"dit.width must divide by 6 (3-D positions) and by num_heads, got {self.width} and {self.num_heads}"
            )
        head_width = self.width // self.num_heads
        if self.positions != "sincos" and (head_width % 2 or head_width < 6):
            raise ValueError(
                f"dit.width / num_heads must be even and at least 6 for rotations, got {self.width} / {self.num_heads}"
            )
        if self.layout == "official" and self.width % (3 * self.num_heads):
            raise ValueError(
                f"dit.width must divide by 3 x num_heads in the layout official, got {self.width} and {self.num_heads}"
            )
        return self


class FlowConfig(Section):
    """The rectified flow: distribution of t in training, and clamp of the loss weight."""

    t_distribution: Literal["logit_normal", "uniform", "mixture", "warped"] = "uniform"
    """Distribution of t; ``mixture`` is 0.9 logit-normal and 0.1 uniform, ``warped`` that of the authors' code. A short
    training needs times near 1, which decide the anatomy and are rare in the logit-normal."""
    t_logit_mean: float = 0.8
    """Mean of logit(t)."""
    t_logit_std: PositiveFloat = 0.8
    """Standard deviation of logit(t)."""
    t_clamp: float = Field(default=0.3, gt=0, le=1)
    """Smallest t in the loss weight 1/t^2; 0.05 is usual, a larger value focuses a short training on the anatomy. With
    1 all times weigh alike: the squared error of the clean latents, the loss of the authors' code."""


class TrainDiTConfig(Section):
    """Training of the diffusion transformer."""

    num_steps: PositiveInt = 3200
    """Optimizer steps."""
    batch_size: PositiveInt = 2
    """Cases per micro-step; 1 in the paper."""
    accumulate: PositiveInt = 1
    """Micro-steps per optimizer step, shared by all processes; 4 in the paper."""
    learning_rate: PositiveFloat = 3e-3
    """AdamW's learning rate; 1e-4 in the paper."""
    warmup_steps: NonNegativeInt = 50
    """Steps of linear warm-up."""
    decay_steps: PositiveInt | None = 3200
    """Steps over which the learning rate falls to 0 as half a cosine, at least ``num_steps``; null keeps it constant,
    the paper's one rate."""
    clip_grad_norm: PositiveFloat = 1.0
    """Largest gradient norm."""
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    """Decay of the exponential moving average that is exported."""
    mode_probabilities: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] = (
        0.08,
        0.7,
        0.2,
        0.02,
    )
    """Probabilities of report only, mask only, both, neither."""
    structure_weights: dict[Structure, PositiveFloat] = Field(default={"lobes": 30.0})
    """Weight with which a structure's mask is drawn if a case has several; 1 if not given. The lobes tell most about
    the whole image, which a short training learns first."""
    leave_out: Structures = ()
    """Structures whose masks, also empty ones, are never drawn, to test the model on masks that it was not trained with
    (Fig. 12). The reports stay unchanged and still mention them."""
    empty_mask_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of empty masks among those drawn, of structures that the case lacks, so that the model learns that an empty
    mask asks for absence; 0, as in the paper, spends a short training on present structures."""
    mask_loss_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the loss that is the mean inside the mask that a sample is conditioned on. With 0, as in the paper, all
    voxels count alike, and a nodule's next to nothing; with a share, a short training learns small structures too.
    The best possible prediction stays the same."""
    mask_statistics: Literal["pooled", "by_structure"] = "pooled"
    """Statistics that mask latents are normalised with: of all masks together, or of each structure's, as in the
    authors' code. With the pooled ones a small structure, such as nodules, is faint beside the lobes. The model keeps
    them."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Fabric's precision; bf16-mixed on a GPU."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """State that each of several processes holds: all of it (``ddp``), or a share of weights, gradients, moments and
    average (``fsdp``), for GPUs with too little memory; either strategy resumes the other's checkpoints."""
    compile: bool = False
    """Compile the transformer's blocks (torch.compile): some time at the start, then faster steps on a GPU."""
    checkpointing: Literal["none", "selective", "full"] = "none"
    """Activations recomputed to save memory: none, all but attention, or all of each block."""
    num_workers: NonNegativeInt = 0
    """Threads that prefetch latents; 0 suits a cohort that fits into memory."""
    checkpoint_every: PositiveInt = 200
    """Steps between checkpoints to resume from."""
    seed: NonNegativeInt = 0
    """Seed of initialisation, order, noise, times and modes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(sum(self.mode_probabilities) - 1.0) > 1e-6:
            raise ValueError(f"train_dit.mode_probabilities must sum to 1, got {self.mode_probabilities}")
        return self


class InferenceConfig(Section):
    """How trained networks run, in every stage that encodes, samples or decodes."""

    precision: PrecisionSetting = "auto"
    """``bf16`` (autocast; last layers and sums in float32), ``float32`` (without TF32), or ``auto``: bf16 on GPUs that
    have it, float32 elsewhere. docs/explanation/performance.md has the error of bf16 beside the solver's."""


class Variant(Section):
    """A further model: the main model's sections with the variant's keys replaced."""

    dit: DiTConfig = Field(default_factory=DiTConfig)
    flow: FlowConfig = Field(default_factory=FlowConfig)
    train_dit: TrainDiTConfig = Field(default_factory=TrainDiTConfig)
