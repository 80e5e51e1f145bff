"""The bodies of requests, read strictly: unknown keys, other types and numbers out of range are refused."""

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medsyn2.errors import ConfigError
from medsyn2.flow.sampling import Solver
from medsyn2.server.problems import Refusal

MAX_TEXT = 64 * 1024
"""Characters of a report, as `medsyn2 generate --report-file` takes them in bytes."""
MAX_WORDS = 200
MAX_SEEDS = 16
"""Volumes of a job; a table of many is `medsyn2 generate --table`."""
MAX_STEPS = 1000

Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Words = Annotated[str, Field(max_length=MAX_WORDS)]
Share = Annotated[float, Field(ge=0, le=1)]
Scale = Annotated[float, Field(ge=0, le=100)]


ItemFormat = Literal["nii.gz", "mha", "dicom.zip", "png", "pair.png", "zip"]
MaskFormat = Literal["nii.gz", "mha", "nrrd"]
"""Files of a result, and of a mask."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class SamplingChanges(_Body):
    """The values of the model's sampling that a request changes."""

    solver: Solver | None = None
    num_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    guidance_report: Scale | None = None
    guidance_mask: Scale | None = None

    def changes(self) -> dict[str, Any]:
        """Return the values that are given."""
        return self.model_dump(exclude_none=True)


class JobOrder(_Body):
    """A request for volumes, or for an edit."""

    kind: Literal["generate", "edit"]
    findings: Text | None = None
    impression: Text | None = None
    mask: Identifier | None = None
    words: Words | None = None
    source: Identifier | None = None  # A result of this session, or a real CT that was opened
    strength: Share | None = None
    margin_mm: Annotated[float, Field(ge=0, le=500)] | None = None
    region: Identifier | None = None
    remove: Identifier | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1, max_length=MAX_SEEDS)] = [0]
    sampling: SamplingChanges = SamplingChanges()


class TextOrder(_Body):
    """A request for the tokens of a report."""

    findings: Text | None = None
    impression: Text | None = None
    words: Words | None = None


Body = TypeVar("Body", bound=_Body)


def read_body(body: type[Body], content: bytes) -> Body:
    """Read a JSON body.

    Raises:
        ConfigError: If it is another.
    """
    try:
        return body.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise ConfigError(
            f"{place}: {first['msg']}.",
            code="request-invalid",
            remedy="load the page again, so that page and server are of one version.",
        ) from None


def format_of(given: str, kinds: object) -> str:
    """Return the format of a request.

    Raises:
        Refusal: If it is none of `kinds`.
    """
    known = get_args(kinds)
    if given not in known:
        raise Refusal(
            400,
            f"expected a format of {', '.join(known)}, got another.",
            code="format-unknown",
            remedy="load the page again, so that page and server are of one version.",
        )
    return given
