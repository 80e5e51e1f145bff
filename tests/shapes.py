"""The check of annotated shapes and types, for functions that take or return arrays; mypy checks the others."""

from collections.abc import Callable
from typing import Any, TypeVar

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))
F = TypeVar("F", bound=Callable[..., Any])


def check_arrays(function: F) -> F:
    """Check a function's annotations in every call if one of them names an array: the others cost collection time."""
    named = [str(annotation) for annotation in getattr(function, "__annotations__", {}).values()]
    return _check(function) if any("Tensor" in name or "ndarray" in name for name in named) else function
