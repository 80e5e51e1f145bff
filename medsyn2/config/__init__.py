"""The configuration: one typed, frozen object with a section for each stage and each shared fact.

``medsyn2 config`` generates ``config.yaml`` and ``config.schema.json`` from these classes, with the fields' docstrings
as comments. A stage reads only its own section and the shared sections in the stage table, which
``medsyn2.stages.stage_params`` selects. This module imports neither torch nor numpy: every Snakemake job imports it.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from medsyn2.config.base import Section
from medsyn2.config.consistency import disagreements, schedule_notes, tool_notes, trainings
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
from medsyn2.config.yaml_files import Place, find_places, read_yaml
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
    "find_places",
    "load_config",
    "merge",
    "schedule_notes",
    "tool_notes",
    "trainings",
    "validate_config",
]


_MAX_SHOWN = 200
"""Characters of a value in a message."""


def validate_config(
    values: Mapping[str, Any], *, source: str, whole: bool = True, places: Mapping[Place, str] | None = None
) -> Config:
    """Validate nested mappings, as YAML gives them; missing keys take their defaults.

    Args:
        values: The mappings.
        source: Their origin, for the message.
        whole: Whether they describe a run, whose sections must agree, and not only a stage's sections.
        places: The line of each key, for the message.

    Raises:
        ConfigError: If a key is unknown, a value impossible, or sections disagree; the message names each.
    """
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems = [(problem["loc"], _describe(problem)) for problem in error.errors()]
        raise _invalid(source, problems, places or {}) from error
    if whole and (disagreeing := list(disagreements(config))):
        named: list[tuple[Place, str]] = [
            (tuple(problem.partition(":")[0].split(".")), problem) for problem in disagreeing
        ]
        raise _invalid(source, named, places or {})
    return config


def _describe(problem: ErrorDetails) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    error, given = problem.get("ctx", {}).get("error"), problem["input"]
    if isinstance(error, ConfigError):  # a record that checks itself: its message begins with the key
        return f"{place}.{error.message.removesuffix('.')}"
    if given is None:
        return f"{place}: holds nothing; delete the line, or take the comment signs from the keys below it"
    found = f"{place}: {problem['msg']} (got {_shorten(given)})"
    if isinstance(given, bool | date):
        return f"{found}; YAML reads yes, no, on, off and dates so, put them into quotes where they are text"
    return found


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]} ..."


def _invalid(source: str, problems: list[tuple[Place, str]], places: Mapping[Place, str]) -> ConfigError:
    said = "; ".join(f"{problem}{_line_of(place, places)}" for place, problem in problems)
    return ConfigError(
        f"{source} is not a valid configuration: {said}.",
        code="config-invalid",
        remedy="correct the keys named above; config.schema.json lists every key with its meaning.",
    )


def _line_of(place: Place, places: Mapping[Place, str]) -> str:
    """Return the line of a key, or of the nearest one around it, in parentheses."""
    while place and place not in places:
        place = place[:-1]
    return f" ({places[place]})" if place else ""


def load_config(*paths: Path | str) -> Config:
    """Read YAML files into one configuration; a later file overrides an earlier one.

    Raises:
        ConfigError: If a file cannot be read, is no YAML mapping, or they do not validate.
    """
    values: dict[str, Any] = {}
    places: dict[Place, str] = {}
    for path in paths:
        found, lines = read_yaml(Path(path))
        values, places = merge(values, found), places | lines
    return validate_config(values, source=" and ".join(str(path) for path in paths), places=places)
