"""The base of all sections, which refuses unknown keys, changes after loading, and infinite values."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PositiveInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from medsyn2.vocabulary import Structure

COMPRESSION = (4, 8, 8)
"""Voxels (depth, height, width) per latent."""

FileName = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")]
"""A name that is also used for files and folders."""


def expand_path(given: object) -> object:
    """Return a path with the home folder in place of ``~``, and None for an empty one."""
    if not isinstance(given, str | Path):
        return given
    if not str(given).strip():
        return None
    return type(given)(Path(given).expanduser()) if str(given).startswith("~") else given


Place = Annotated[Path, BeforeValidator(expand_path, json_schema_input_type=Path)]
"""A file or folder; ``~`` is the home folder."""
OptionalPlace = Annotated[Path | None, BeforeValidator(expand_path, json_schema_input_type=Path | None)]
"""The same, or None for null or empty text."""
OptionalText = Annotated[str | None, BeforeValidator(expand_path, json_schema_input_type=str | None)]
"""A path as text or a pattern of paths, or None."""


class Section(BaseModel):
    """One section of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where pydantic would take them for 1 and 0."""
        if _holds_truth(value) and not _takes_truth(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("true and false are neither numbers nor texts")
        return value


def _holds_truth(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_truth(held) for held in value.values())
    return any(_holds_truth(held) for held in value) if isinstance(value, list | tuple) else isinstance(value, bool)


def _takes_truth(annotation: Any) -> bool:
    """Say whether true and false fit somewhere into a type; a section checks its own keys."""
    if isinstance(annotation, type) and is_dataclass(annotation):
        return any(_takes_truth(part) for part in get_type_hints(annotation).values())
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return annotation is bool or any(_takes_truth(part) for part in get_args(annotation))


def _check_distinct(structures: tuple[Structure, ...]) -> tuple[Structure, ...]:
    if len(set(structures)) < len(structures):
        raise ValueError("each structure can be named once")
    return structures


def _check_divisible(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if any(size % factor for size, factor in zip(shape, COMPRESSION, strict=True)):
        raise ValueError(f"must be divisible by {COMPRESSION}, which is the tokenizer's compression")
    return shape


Structures = Annotated[tuple[Structure, ...], AfterValidator(_check_distinct)]
"""Structures, each once."""

CropShape = Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], AfterValidator(_check_divisible)]
"""Voxels (depth, height, width) of a crop or window that the tokenizer processes at once."""
