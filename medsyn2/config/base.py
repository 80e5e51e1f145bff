"""The base of all sections: unknown keys are refused, values never change after loading."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

FileName = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,40}$")]
"""A name that files or folders get too."""


class Section(BaseModel):
    """One section of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
