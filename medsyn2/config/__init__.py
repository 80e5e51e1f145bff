"""The configuration: one typed, frozen object with a section for each stage and each shared fact.

``medsyn2 config`` generates ``config.yaml`` and ``config.schema.json`` from these classes, with the fields' docstrings
as comments. A stage reads only its own section and the shared sections in the stage table, which
``medsyn2.stages.stage_params`` selects. This module imports neither torch nor numpy: every Snakemake job imports it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from medsyn2.config.agreement import disagreements
from medsyn2.config.base import FileName, Section
from medsyn2.config.evaluation import (
    Baseline,
    EvaluateAttentionConfig,
    EvaluateAugmentationConfig,
    EvaluateEditsConfig,
    EvaluateFidConfig,
    EvaluateMasksConfig,
    EvaluateMemorisationConfig,
    EvaluateScoresConfig,
    EvaluateTokenizerConfig,
    EvaluateVariantsConfig,
    ReportConfig,
    SampleConfig,
)
from medsyn2.config.networks import (
    DiTConfig,
    EncodeLatentsConfig,
    EncodeTextConfig,
    FlowConfig,
    PerceptualWeights,
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
from medsyn2.errors import ConfigError
from medsyn2.flow.sampling import Sampling

__all__ = [
    "Baseline",
    "CohortConfig",
    "Config",
    "DiTConfig",
    "EncodeLatentsConfig",
    "EncodeTextConfig",
    "EvaluateAttentionConfig",
    "EvaluateAugmentationConfig",
    "EvaluateEditsConfig",
    "EvaluateFidConfig",
    "EvaluateMasksConfig",
    "EvaluateMemorisationConfig",
    "EvaluateScoresConfig",
    "EvaluateTokenizerConfig",
    "EvaluateVariantsConfig",
    "FlowConfig",
    "GridConfig",
    "InventoryConfig",
    "MasksConfig",
    "PerceptualWeights",
    "PhantomsConfig",
    "RegisterConfig",
    "ReportConfig",
    "SampleConfig",
    "Section",
    "SegmentConfig",
    "TemplateConfig",
    "TokenizerConfig",
    "TrainDiTConfig",
    "TrainTextEncoderConfig",
    "TrainTokenizerConfig",
    "Variant",
    "load_config",
    "validate_config",
]


MAIN = "main"
"""Name of ``train_dit``'s model among its variants."""

_MAX_SHOWN = 200
"""Characters of a value in a message."""


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
    sampling: Sampling = Field(default_factory=Sampling)
    variants: dict[FileName, Variant] = Field(default_factory=dict)
    """Further models with other settings, by name: for each, the keys of ``dit``, ``flow`` and ``train_dit`` that
    differ from the main model's, such as ``no_conv: {dit: {conv: false}}``. Each costs a full training; see
    configs/ablations.yaml."""
    sample: SampleConfig = Field(default_factory=SampleConfig)
    evaluate_fid: EvaluateFidConfig = Field(default_factory=EvaluateFidConfig)
    evaluate_memorisation: EvaluateMemorisationConfig = Field(default_factory=EvaluateMemorisationConfig)
    evaluate_masks: EvaluateMasksConfig = Field(default_factory=EvaluateMasksConfig)
    evaluate_edits: EvaluateEditsConfig = Field(default_factory=EvaluateEditsConfig)
    evaluate_attention: EvaluateAttentionConfig = Field(default_factory=EvaluateAttentionConfig)
    evaluate_augmentation: EvaluateAugmentationConfig = Field(default_factory=EvaluateAugmentationConfig)
    evaluate_scores: EvaluateScoresConfig = Field(default_factory=EvaluateScoresConfig)
    evaluate_variants: EvaluateVariantsConfig = Field(default_factory=EvaluateVariantsConfig)
    evaluate_tokenizer: EvaluateTokenizerConfig = Field(default_factory=EvaluateTokenizerConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)

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
            name: _merge(base, overrides) if isinstance(overrides, Mapping) else overrides
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


def validate_config(values: Mapping[str, Any], *, source: str, whole: bool = True) -> Config:
    """Validate nested mappings, as YAML gives them; missing keys take their defaults.

    Args:
        values: The mappings.
        source: Their origin, for the message.
        whole: Whether they describe a run, whose sections must agree, and not only a stage's sections.

    Raises:
        ConfigError: If a key is unknown, a value impossible, or sections disagree; the message names each.
    """
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise _invalid(source, [_describe(problem) for problem in error.errors()]) from error
    if whole and (problems := list(disagreements(config))):
        raise _invalid(source, problems)
    return config


def _describe(problem: ErrorDetails) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    error = problem.get("ctx", {}).get("error")
    if isinstance(error, ConfigError):  # a record that checks itself: its message begins with the key
        return f"{place}.{error.message.removesuffix('.')}"
    return f"{place}: {problem['msg']} (got {_shorten(problem['input'])})"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


def _invalid(source: str, problems: list[str]) -> ConfigError:
    return ConfigError(
        f"{source} is not a valid configuration: {'; '.join(problems)}.",
        code="config-invalid",
        remedy="correct the keys named above; config.schema.json lists every key with its meaning.",
    )


def load_config(*paths: Path | str) -> Config:
    """Read YAML files into one configuration; a later file overrides an earlier one.

    Raises:
        ConfigError: If a file cannot be read, is no YAML mapping, or they do not validate.
    """
    values: dict[str, Any] = {}
    for path in paths:
        values = _merge(values, _read_yaml(Path(path)))
    return validate_config(values, source=" and ".join(str(path) for path in paths))


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read as YAML: {error}.",
            code="config-unreadable",
            remedy="give an existing YAML file, such as config.yaml.",
        ) from error
    if not isinstance(values, Mapping | None):
        raise ConfigError(
            f"{path} holds a {type(values).__name__}, expected sections with keys.",
            code="config-unreadable",
            remedy="start from config.yaml.",
        )
    return values or {}


def _merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `override` into `base`, mapping by mapping, as Snakemake merges configuration files."""
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged
