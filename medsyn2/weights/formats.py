"""Whether a file of weights opens as what it is, where nobody recorded its checksum.

A torn download or a page that a proxy sent instead is found without reading the tensors and without torch:
safetensors and torch's zip files are as long as their own tables of contents say, JSON is an object, a vocabulary has
BERT's special tokens. A torch file of the older layout is one pickle, which only running it would check: it is known
by its first byte alone. A flipped bit inside a tensor is found by a checksum and by nothing else.
"""

import json
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import safetensors

_PICKLE = b"\x80"
_TORCH_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin")
_SPECIAL_TOKENS = frozenset({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})


def format_problem(path: Path) -> str:
    """Return why a file is not of the format that its suffix names; empty if it is, or if the suffix names none."""
    if path.suffix == ".json":
        return json_problem(path)
    if path.suffix == ".safetensors":
        return tensors_problem(path)
    return _torch_problem(path) if path.suffix in _TORCH_SUFFIXES else ""


def json_problem(path: Path, keys: Collection[str] = ()) -> str:
    """Return why a file is no JSON object with `keys`; empty if it is one."""
    try:
        values = read_object(path)
    except (OSError, ValueError) as error:
        return f"it is no JSON object: {error}"
    lacking = [key for key in keys if key not in values]
    return f"it lacks {', '.join(lacking)}" if lacking else ""


def tensors_problem(path: Path, names: Collection[str] = ()) -> str:
    """Return why a file is no whole safetensors file; empty if it is one.

    Args:
        path: The file.
        names: Ends of names, one of which a tensor must have; none if any tensors will do.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            found = list(file.keys())
    except (safetensors.SafetensorError, OSError) as error:
        return f"it is no whole safetensors file: {error}"
    if names and not any(name.endswith(tuple(names)) for name in found):
        return f"it has no tensor {' or '.join(names)}, but {', '.join(found[:3]) or 'none'} ..."
    return ""


def vocabulary_problem(path: Path) -> str:
    """Return why a file is no vocabulary of a BERT; empty if it is one."""
    lines = set(path.read_text(encoding="utf-8", errors="replace").splitlines())
    lacking = sorted(_SPECIAL_TOKENS - lines)
    return f"it is no BERT vocabulary: it lacks {', '.join(lacking)}" if lacking else ""


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: If the file holds anything else.
    """
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, got {str(values)[:40]!r}")
    return values


def _torch_problem(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(1)
    if start == _PICKLE or zipfile.is_zipfile(path):
        return ""
    return "it is no whole torch file: it ends before its table of contents, or is another thing altogether"
