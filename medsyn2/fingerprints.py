"""Hashes of JSON values and of dataclasses that hold them: equal values give equal fingerprints, on every machine.

A fingerprint tells whether a result is made from the same settings and inputs as before. This module uses the
standard library alone: Snakemake's own process imports it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def to_json(value: Any) -> Any:
    """Return the JSON values of a value that may hold dataclasses; sparse fields that are None are left out."""
    if is_dataclass(value):
        found = ((one, getattr(value, one.name)) for one in fields(value))
        return {one.name: to_json(held) for one, held in found if held is not None or not one.metadata.get("sparse")}
    if isinstance(value, Mapping):
        return {str(name): to_json(held) for name, held in value.items()}
    return [to_json(held) for held in value] if isinstance(value, list | tuple) else value


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and no spaces, the same text for equal values."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(*parts: Any) -> str:
    """Return a hash of JSON values and dataclasses of such."""
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def list_differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each value in which nested settings differ, such as ``dit.width 96 instead of 48``."""
    values, others = dict(_leaves(here)), dict(_leaves(there))
    return [
        f"{name} {canonical_json(values[name]) if name in values else 'missing'} instead of "
        f"{canonical_json(others[name]) if name in others else 'missing'}"
        for name in sorted({*values, *others})
        if (name in values, values.get(name)) != (name in others, others.get(name))
    ]


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
