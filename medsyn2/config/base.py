"""The base of all sections, which refuses unknown keys, changes after loading, and infinite values."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PositiveInt, StringConstraints

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
