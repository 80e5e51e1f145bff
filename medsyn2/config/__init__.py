"""The configuration: one typed, frozen object with a section for each stage and each shared fact.

``medsyn2 config`` generates ``config.yaml`` and ``config.schema.json`` from these classes, with the fields' docstrings
as comments. A stage reads only its own section and the shared sections in the stage table, which
``medsyn2.stages.stage_params`` selects. This module imports neither torch nor numpy: every Snakemake job imports it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from medsyn2.config.base import Section
from medsyn2.config.consistency import disagreements
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
from medsyn2.config.schema import MAIN, Config, merge
from medsyn2.errors import ConfigError

__all__ = [
    "MAIN",
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
    "InferenceConfig",
    "InventoryConfig",
    "JobsConfig",
    "MasksConfig",
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


_MAX_SHOWN = 200
"""Characters of a value in a message."""


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
        values = merge(values, _read_yaml(Path(path)))
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
