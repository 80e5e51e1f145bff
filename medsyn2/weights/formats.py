"""Format checks of weight files without a recorded checksum.

A torn download, or a page sent by a proxy, is detected without reading tensors and without torch: safetensors and
torch's zip files must be as long as their tables of contents say, JSON must be an object, a vocabulary must have
BERT's special tokens. A torch file of the older layout is a pickle, which only execution would check, so only its first
byte is. A flipped bit inside a tensor is detected by a checksum only.
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
    """Return why a file is not in the format of its suffix; empty if it is or the suffix is unknown."""
    if path.suffix == ".json":
        return json_problem(path)
    if path.suffix == ".safetensors":
        return tensors_problem(path)
    return _torch_problem(path) if path.suffix in _TORCH_SUFFIXES else ""


def json_problem(path: Path, keys: Collection[str] = ()) -> str:
    """Return why a file is not a JSON object with `keys`; empty if it is."""
    try:
        values = read_object(path)
    except (OSError, ValueError) as error:
        return f"it is no JSON object: {error}"
    lacking = [key for key in keys if key not in values]
    return f"it lacks {', '.join(lacking)}" if lacking else ""


def tensors_problem(path: Path, names: Collection[str] = ()) -> str:
    """Return why a file is not a complete safetensors file; empty if it is.

    Args:
        names: Suffixes of names, at least one of which must occur; empty accepts any tensors.
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
    """Return why a file is not a vocabulary of a BERT; empty if it is."""
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
