"""Weights of a network on disk: a safetensors file and its JSON description.

    dit.json          {"kind": "dit", "config": {...}, "sha256": "..."}
    dit.safetensors   the tensors, by their names in the network's state dict

The JSON is written last and holds the sha256 of the tensors' file, which is checked before use: a flipped bit in
weights would otherwise go unnoticed (200 of 200 did). A converted network's JSON also has an ``origin``, its source
file and that file's sha256. No pickle is read. Loading into a network is strict: a missing tensor, an unexpected one or
one of another shape is an error that names it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medsyn2.errors import WeightsError, list_names
from medsyn2.files import sha256_of, write_atomically
from medsyn2.integrity import read_sealed, write_sealed


def save_component(
    json_path: Path,
    module: nn.Module | Mapping[str, Tensor],
    *,
    kind: str,
    config: Mapping[str, Any],
    origin: Mapping[str, str] | None = None,
) -> None:
    """Write a network's weights and their description.

    Args:
        json_path: The description; the tensors go next to it, with the suffix ``.safetensors``.
        kind: Kind of network, such as ``dit``; checked at loading.
        origin: Source of a converted network.
    """
    state = module.state_dict() if isinstance(module, nn.Module) else module
    # A clone: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    weights = tensors_path(json_path)
    write_atomically(weights, lambda partial: save_file(tensors, partial))
    description = {"kind": kind, "config": dict(config), "sha256": sha256_of(weights)}
    write_sealed(json_path, description if origin is None else {**description, "origin": dict(origin)})


def load_component(json_path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a network's description and its tensors.

    Returns:
        The configuration, its lists as tuples, and the state dict.

    Raises:
        WeightsError: If a file is missing, damaged or changed, or the network is of another kind.
    """
    description = _read_description(json_path)
    if description["kind"] != kind:
        raise WeightsError(
            f"{json_path} describes a {description['kind']!r}, expected a {kind!r}.",
            code="weights-kind",
            remedy=f"give the JSON of a {kind}.",
        )
    weights = tensors_path(json_path)
    if not weights.is_file():
        raise _missing(weights)
    found = sha256_of(weights)
    if found != description["sha256"]:
        raise WeightsError(
            f"{weights} has the sha256 {found}, expected {description['sha256']} as {json_path.name} says.",
            code="weights-damaged",
            remedy=f"`rm {json_path}` and run the workflow again, or copy both files again.",
        )
    try:
        return _tuples(description["config"]), load_file(weights)
    except safetensors.SafetensorError as error:
        raise WeightsError(
            f"{weights} is no safetensors file: {error}.",
            code="weights-unreadable",
            remedy="run the stage that makes it again, or convert foreign weights with `medsyn2 convert`.",
        ) from error


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], *, source: Path | str) -> None:
    """Load `state` into `module`, which must match exactly.

    Raises:
        WeightsError: If a tensor is missing, unexpected or of another shape; the message names it.
    """
    own = module.state_dict()
    problems = [
        *list_names("missing", [name for name in own if name not in state]),
        *list_names("unexpected", [name for name in state if name not in own]),
        *list_names(
            "of another shape",
            [
                f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in own.items()
                if name in state and state[name].shape != tensor.shape
            ],
        ),
    ]
    if problems:
        raise WeightsError(
            f"the tensors of {source} are not those of this {type(module).__name__}: {'; '.join(problems)}.",
            code="weights-layout",
            remedy="build the network from the configuration beside the weights.",
        )
    module.load_state_dict(dict(state), strict=True)


def tensors_path(json_path: Path) -> Path:
    """Return the path of a description's tensors."""
    return json_path.with_suffix(".safetensors")


def _read_description(json_path: Path) -> dict[str, Any]:
    try:
        description = read_sealed(json_path)
        if set(description) - {"origin"} == {"kind", "config", "sha256"}:
            return description
        problem = f"its keys are {sorted(description)}"
    except FileNotFoundError:
        raise _missing(json_path) from None
    except (ValueError, TypeError) as error:
        problem = str(error)
    raise WeightsError(
        f"{json_path} is no description of weights (kind, config, sha256): {problem}.",
        code="weights-unreadable",
        remedy=f"`rm {json_path}` and run the workflow again, or copy both files again.",
    )


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _tuples(inner) for name, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value


def _missing(path: Path) -> WeightsError:
    return WeightsError(
        f"{path} does not exist.",
        code="weights-missing",
        remedy="run the stage that makes it, or give the path of weights that are there; "
        "`medsyn2 doctor` lists what is missing.",
    )
