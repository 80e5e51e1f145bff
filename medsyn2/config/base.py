"""The base of all sections: unknown keys are refused, values never change after loading."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
