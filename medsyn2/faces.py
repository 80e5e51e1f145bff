"""The faces of packages: names that can be imported from a package and are loaded when they are first asked for.

A package's ``__init__`` runs whenever one of its modules is imported. It must therefore stay as light as its
lightest module, and yet offer names whose modules bring in torch or SimpleITK.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package; `homes` has the module of each name."""

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    return load, lambda: sorted(homes)
