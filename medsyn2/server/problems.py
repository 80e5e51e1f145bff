"""Errors as answers: the status of each kind, and the JSON that the page shows.

An answer names the code, the message and the remedy, and never a traceback or a place on the server's disk.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsyn2.errors import CaseError, ConfigError, EnvironmentFault, MedSyn2Error, SystematicError, reason
from medsyn2.faults import fault_of

log = logging.getLogger(__name__)

JSON = dict[str, Any]


class Refusal(MedSyn2Error):
    """A request that is refused, with the status of the answer."""

    def __init__(self, status: int, message: str, *, code: str, remedy: str) -> None:
        super().__init__(message, code=code, remedy=remedy)
        self.status = status

    def __reduce__(self) -> tuple[object, ...]:
        return _refusal, (self.status, self.message, self.code, self.remedy)


def _refusal(status: int, message: str, code: str, remedy: str) -> Refusal:
    return Refusal(status, message, code=code, remedy=remedy)


def missing(kind: str) -> Refusal:
    """Return the refusal of an id that names nothing."""
    return Refusal(
        404,
        f"expected the id of a {kind} of this session, got one that names none.",
        code="id-unknown",
        remedy="load the page again: it was removed, or the session is another.",
    )


def describe_error(error: MedSyn2Error, root: Path | None = None) -> JSON:
    """Return an error as JSON values, with its status.

    Args:
        root: Folder of the session, whose place is nobody's business.
    """
    message = error.message if root is None else error.message.replace(f"{root}/", "")
    message = message.encode(errors="backslashreplace").decode()  # a name of bytes that are no text
    return {"status": status_of(error), "code": error.code, "message": message, "remedy": error.remedy}


def name_error(error: Exception) -> MedSyn2Error:
    """Return an error that a person can read; the traceback of an unknown one goes to the log of the server."""
    if isinstance(error, MedSyn2Error):
        return error
    if (fault := fault_of(error)) is not None:
        return fault
    log.error("a task of the page failed", exc_info=error)
    return EnvironmentFault(
        f"something failed that should not: {reason(error)}.",
        code="page-failed",
        remedy="look into the terminal of `medsyn2 page`, and report the lines there.",
    )


def status_of(error: MedSyn2Error) -> int:
    """Return the HTTP status of an error: 4xx for the request's own, 503 for faults of the machine or the model."""
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, CaseError):
        return 422
    if isinstance(error, ConfigError):
        return 400
    return 503 if isinstance(error, EnvironmentFault | SystematicError) else 400


def read_error(described: Mapping[str, Any]) -> Refusal:
    """Return the error that `describe_error` described in another process."""
    known = {name: str(described[name]) for name in ("code", "remedy")}
    return Refusal(int(described["status"]), str(described["message"]), **known)
