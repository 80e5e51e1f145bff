"""Errors for users, in two families that the pipeline treats differently.

A *case error* is the fault of one input (a corrupt file, an impossible geometry, an unreadable report). The case goes
to quarantine with its code, its message and a remedy, and the run continues.

An *environment fault* is one of the machine or the set-up (no disk, no memory, missing weights, a table without its
columns). It stops the run and quarantines nothing, because the next case would fail too.

Every message gives the expected value, the actual one and a remedy; the code is short and stable, so that it can be
counted and looked up.
"""

from typing import ClassVar

_MAX_REASON = 200
"""Characters."""


class MedSyn2Error(Exception):
    """Base of all errors for users.

    Args:
        message: Expected and actual value, with the file or case concerned.
        code: Short stable identifier, such as ``nifti-truncated``.
        remedy: Advice to the user.
    """

    exit_code = 1

    def __init__(self, message: str, *, code: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.remedy = remedy

    def __str__(self) -> str:
        return f"[{self.code}] {self.message} What to do: {self.remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.code, self.remedy)


def _rebuild(cls: type[MedSyn2Error], message: str, code: str, remedy: str) -> MedSyn2Error:
    return cls(message, code=code, remedy=remedy)


def list_names(label: str, names: list[str]) -> list[str]:
    """Return a phrase that counts `names` and gives the first five, in a list that is empty if there are none."""
    if not names:
        return []
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"{len(names)} {label}: {', '.join(names[:5])}{more}"]


def reason(error: BaseException) -> str:
    """Summarize an error in one line of bounded length, for a message."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    shown = text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]} ..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


class CaseError(MedSyn2Error):
    """One case cannot be used; the run continues without it."""

    # Whether the next run tries the case again although its inputs are unchanged, because the cause is on the
    # machine: its time, its memory, a disk that was not mounted
    retry: ClassVar[bool] = False


class InvalidVolumeError(CaseError, ValueError):
    """A file is not a usable CT: damaged, of the wrong rank, with impossible values."""


class UnreachableVolumeError(InvalidVolumeError):
    """A file is missing or unreadable; repairing the disk or the permissions may help."""

    retry = True


class GeometryError(CaseError, ValueError):
    """An affine, spacing or orientation is impossible, or two grids disagree."""


class IntensityError(CaseError, ValueError):
    """Voxel values are not Hounsfield units and cannot safely be converted."""


class RegistrationError(CaseError, RuntimeError):
    """A registration failed its quality gates."""


class ReportError(CaseError, ValueError):
    """A report cannot be used."""


class SegmenterError(CaseError, RuntimeError):
    """A segmenter failed on this case only."""


class ToolLimitError(SegmenterError):
    """A segmenter's process died or ran out of time or memory; with more of either it may finish."""

    retry = True


class MaskError(CaseError, ValueError):
    """A mask cannot be used as a condition."""


class EnvironmentFault(MedSyn2Error):
    """The run cannot continue with any case; nothing is quarantined."""

    exit_code = 10


class MemoryFault(EnvironmentFault):
    """The machine or its GPU has not enough memory."""

    exit_code = 12


class TableError(EnvironmentFault, ValueError):
    """A table lacks columns or has contradictory rows."""


class WeightsError(EnvironmentFault, RuntimeError):
    """Weights are missing, damaged or of another layout."""

    exit_code = 14


class IntegrityError(EnvironmentFault, RuntimeError):
    """An artefact's bytes differ from those that were written."""

    exit_code = 15


class SystematicError(EnvironmentFault, RuntimeError):
    """Too many cases failed with one code: the set-up is wrong, not the cases."""


class NonFiniteLossError(EnvironmentFault, ArithmeticError):
    """The training loss is not finite; it updated nothing."""


class ConfigError(EnvironmentFault, ValueError):
    """A setting or a combination of settings cannot work."""

    exit_code = 2
