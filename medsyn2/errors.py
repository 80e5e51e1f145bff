"""The errors a user can meet, in two families that the pipeline treats differently.

A *case error* is the fault of one input (a corrupt file, an impossible geometry, a report that cannot be
read). The case goes to quarantine with its code, its message and a remedy, and the run continues.

An *environment error* is the fault of the machine or the set-up (no disk, no memory, missing weights, a
table without its columns). It stops the run and quarantines nothing, because the next case would fail too.

Every message says what was expected, what came and what to do; the code is short and stable, so that it can
be counted and looked up.
"""

from typing import ClassVar

_MAX_REASON = 200
"""Characters."""


class MedSyn2Error(Exception):
    """Base of all errors that are meant for the user.

    Args:
        message: What was expected and what came, with the file or case it concerns.
        code: Short stable identifier, such as ``nifti-truncated``.
        remedy: What the user can do about it.
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
    """Return one phrase for a message that counts `names` and shows the first five; none if there are none."""
    if not names:
        return []
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"{len(names)} {label}: {', '.join(names[:5])}{more}"]


def reason(error: BaseException) -> str:
    """Return what an error says, in one line that fits into a message, whatever the error holds."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    shown = text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]} ..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


class CaseError(MedSyn2Error):
    """One case cannot be used; the run goes on without it.

    Attributes:
        retry: Whether the next run tries the case again although nothing that it is made from has changed: what
            failed it depends on the machine, such as its time, its memory or a disk that was not mounted.
    """

    retry: ClassVar[bool] = False


class InvalidVolumeError(CaseError, ValueError):
    """A file that is not a usable CT: damaged, wrong rank, impossible values."""


class UnreachableVolumeError(InvalidVolumeError):
    """A file that is not there or must not be read, as long as the disk or the permissions are not mended."""

    retry = True


class GeometryError(CaseError, ValueError):
    """An affine, spacing or orientation that cannot be true, or two grids that disagree."""


class IntensityError(CaseError, ValueError):
    """Voxel values that are not Hounsfield units and cannot safely be brought to them."""


class RegistrationError(CaseError, RuntimeError):
    """A registration that failed its quality gates."""


class ReportError(CaseError, ValueError):
    """A report text that cannot be used."""


class SegmenterError(CaseError, RuntimeError):
    """A segmenter that failed on this case alone."""


class ToolLimitError(SegmenterError):
    """A segmenter whose process died, or ran out of time or memory; with more of either it may finish."""

    retry = True


class MaskError(CaseError, ValueError):
    """A mask that cannot be used as a condition."""


class EnvironmentFault(MedSyn2Error):
    """The run cannot go on, whatever the case; nothing is quarantined."""

    exit_code = 10


class TableError(EnvironmentFault, ValueError):
    """A table without the needed columns, or with contradictory rows."""


class WeightsError(EnvironmentFault, RuntimeError):
    """Weights that are missing, damaged or of another layout."""

    exit_code = 14


class IntegrityError(EnvironmentFault, RuntimeError):
    """An artefact whose bytes are not those that were written."""

    exit_code = 15


class SystematicError(EnvironmentFault, RuntimeError):
    """Too many cases fail with one code: the set-up is wrong, not the cases."""


class NonFiniteLossError(EnvironmentFault, ArithmeticError):
    """The training loss is not a finite number; no update was made with it."""


class ConfigError(EnvironmentFault, ValueError):
    """A setting, or a combination of settings, that cannot work."""

    exit_code = 2
