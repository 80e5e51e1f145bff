"""The whole configuration: a section for each stage and for each fact that stages share."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from medsyn2.config.base import FileName, Section
from medsyn2.config.evaluation import (
    EvaluateAttentionConfig,
    EvaluateAugmentationConfig,
    EvaluateEditsConfig,
    EvaluateFidConfig,
    EvaluateHuConfig,
    EvaluateMasksConfig,
    EvaluateMemorisationConfig,
    EvaluateScoresConfig,
    EvaluateTokenizerConfig,
    EvaluateVariantsConfig,
    ReportConfig,
    SampleConfig,
)
from medsyn2.config.jobs import JobsConfig
from medsyn2.config.networks import (
    DiTConfig,
    EncodeLatentsConfig,
    EncodeTextConfig,
    FlowConfig,
    InferenceConfig,
    TokenizerConfig,
    TrainDiTConfig,
    TrainTextEncoderConfig,
    TrainTokenizerConfig,
    Variant,
)
from medsyn2.config.preparation import (
    CohortConfig,
    GridConfig,
    InventoryConfig,
    MasksConfig,
    PhantomsConfig,
    RegisterConfig,
    SegmentConfig,
    TemplateConfig,
)
from medsyn2.flow.sampling import Sampling

MAIN = "main"
"""Name of ``train_dit``'s model among its variants."""


class Config(Section):
    """The whole configuration."""

    grid: GridConfig = Field(default_factory=GridConfig)
    cohort: CohortConfig = Field(default_factory=CohortConfig)
    phantoms: PhantomsConfig = Field(default_factory=PhantomsConfig)
    inventory: InventoryConfig = Field(default_factory=InventoryConfig)
    template: TemplateConfig = Field(default_factory=TemplateConfig)
    register_: RegisterConfig = Field(default_factory=RegisterConfig, alias="register")
    segment: SegmentConfig = Field(default_factory=SegmentConfig)
    masks: MasksConfig = Field(default_factory=MasksConfig)
    tokenizer: TokenizerConfig = Field(default_factory=TokenizerConfig)
    train_tokenizer: TrainTokenizerConfig = Field(default_factory=TrainTokenizerConfig)
    encode_latents: EncodeLatentsConfig = Field(default_factory=EncodeLatentsConfig)
    train_text_encoder: TrainTextEncoderConfig = Field(default_factory=TrainTextEncoderConfig)
    encode_text: EncodeTextConfig = Field(default_factory=EncodeTextConfig)
    dit: DiTConfig = Field(default_factory=DiTConfig)
    flow: FlowConfig = Field(default_factory=FlowConfig)
    train_dit: TrainDiTConfig = Field(default_factory=TrainDiTConfig)
    inference: InferenceConfig = Field(default_factory=InferenceConfig)
    sampling: Sampling = Field(default_factory=Sampling)
    variants: dict[FileName, Variant] = Field(default_factory=dict)
    """Further models with other settings, by name: for each, the keys of ``dit``, ``flow`` and ``train_dit`` that
    differ from the main model's, such as ``no_conv: {dit: {conv: false}}``. Each costs a full training; see
    configs/ablations.yaml."""
    sample: SampleConfig = Field(default_factory=SampleConfig)
    evaluate_fid: EvaluateFidConfig = Field(default_factory=EvaluateFidConfig)
    evaluate_memorisation: EvaluateMemorisationConfig = Field(default_factory=EvaluateMemorisationConfig)
    evaluate_masks: EvaluateMasksConfig = Field(default_factory=EvaluateMasksConfig)
    evaluate_hu: EvaluateHuConfig = Field(default_factory=EvaluateHuConfig)
    evaluate_edits: EvaluateEditsConfig = Field(default_factory=EvaluateEditsConfig)
    evaluate_attention: EvaluateAttentionConfig = Field(default_factory=EvaluateAttentionConfig)
    evaluate_augmentation: EvaluateAugmentationConfig = Field(default_factory=EvaluateAugmentationConfig)
    evaluate_scores: EvaluateScoresConfig = Field(default_factory=EvaluateScoresConfig)
    evaluate_variants: EvaluateVariantsConfig = Field(default_factory=EvaluateVariantsConfig)
    evaluate_tokenizer: EvaluateTokenizerConfig = Field(default_factory=EvaluateTokenizerConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)
    jobs: JobsConfig = Field(default_factory=JobsConfig)

    @field_validator("variants", mode="before")
    @classmethod
    def _complete_variants(cls, given: Any, info: ValidationInfo) -> Any:
        """Complete each variant's sections from the main model's, so that validation sees the values in use."""
        if not isinstance(given, Mapping):
            return given
        if MAIN in given:
            raise ValueError(f"{MAIN} is the model of train_dit, name the variant otherwise")
        base = {name: info.data[name].model_dump() for name in Variant.model_fields if name in info.data}
        return {
            name: merge(base, overrides) if isinstance(overrides, Mapping) else overrides
            for name, overrides in given.items()
        }

    def with_variant(self, name: str) -> "Config":
        """Return the configuration with a variant's settings as the main model's."""
        changed = {section: getattr(self.variants[name], section) for section in Variant.model_fields}
        return self.model_copy(update={**changed, "variants": {}})

    def section(self, name: str) -> Section | Sampling:
        """Return the section with the name `name` in the configuration file."""
        found: Section | Sampling = getattr(self, "register_" if name == "register" else name)
        return found


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `override` into `base`, mapping by mapping, as Snakemake merges configuration files."""
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged
