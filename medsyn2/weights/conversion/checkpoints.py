"""Foreign checkpoint files, unwrapped to named tensors.

Known containers, and the place of the tensors in them:

    *.safetensors                       flat
    *.ckpt of Lightning                 state_dict
    *.ckpt of Open-Sora Plan's trainer  ema_state_dict (names prefixed ``module.``), or state_dict.gen_model
    *.pt, *.pth, *.bin, no suffix       flat, state_dict, or params (CT-Net)

A folder, as diffusers writes it, must hold exactly one such file. An exponential moving average is preferred, as
upstream does; `Choice` overrides that. Pickles are opened with ``weights_only=True`` only.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from medsyn2.errors import WeightsError
from medsyn2.files import sha256_of

FOLDER = "final_ckpt"
NETWORKS = ("model.safetensors", "pytorch_model.bin")


def network_file(source: Path) -> Path:
    """Return the network's file in the authors' released folder, or `source` if it is not such a folder.

    The folder is a checkpoint of Hugging Face's accelerate, whose optimizer and random states have the same suffixes
    as weights. Either ``final_ckpt`` or its parent may be given.
    """
    for folder in (source, source / FOLDER):
        for name in NETWORKS:
            if (folder / name).is_file():
                return folder / name
    return source


SAFETENSORS = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")

Choice = Literal["auto", "ema", "plain"]
"""``auto``: the moving average if there is one."""
CHOICES: tuple[Choice, ...] = get_args(Choice)


@dataclass(frozen=True)
class ForeignWeights:
    """The tensors of a foreign checkpoint."""

    state: Mapping[str, Tensor]  # Tensors by name
    # Name and sha256 of the file, and ``ema`` or ``plain`` for its moving average or other weights
    origin: Mapping[str, str]


def read_weights(source: Path, choice: Choice = "auto", *, drop: tuple[str, ...] = ()) -> ForeignWeights:
    """Read a foreign checkpoint.

    Args:
        source: A file, or a folder with one.
        drop: Prefixes of tensors to leave out, such as ``loss.``.

    Raises:
        WeightsError: If there is no file or more than one, if it is damaged or contains code, if it lacks a required
            moving average, or if a value is not a tensor or not finite.
    """
    path = weights_file(source)
    content = _open(path)
    state, which = _unwrap(content, choice, path)
    state = {name: tensor for name, tensor in state.items() if not name.startswith(drop)}
    _check_tensors(state, path)
    return ForeignWeights(state, {"file": path.name, "sha256": sha256_of(path), "weights": which})


def weights_file(source: Path) -> Path:
    """Find the single file of weights at `source`, a file or a folder.

    Raises:
        WeightsError: If there is none, or more than one.
    """
    if source.is_file():
        return source
    suffixes = (SAFETENSORS, *PICKLES)
    found = [path for path in sorted(source.glob("*")) if path.suffix in suffixes and path.is_file()]
    if len(found) == 1:
        return found[0]
    held = ", ".join(path.name for path in found) or "none"
    raise WeightsError(
        f"{source} is neither a file nor a folder with one file of weights ({' '.join(suffixes)}): found {held}.",
        code="weights-ambiguous" if found else "weights-missing",
        remedy="give the path of the file itself.",
    )


def _open(path: Path) -> Any:
    try:
        if path.suffix == SAFETENSORS:
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except safetensors.SafetensorError as error:
        problem, remedy = f"is no safetensors file: {error}", "download or copy it again."
    except pickle.UnpicklingError as error:
        problem = f"cannot be opened without running code that is in it: {str(error).splitlines()[0]}"
        remedy = (
            "if you trust its origin, load it where you may and save its tensors alone, as safetensors; "
            "this project opens no other pickles."
        )
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        problem, remedy = f"is no PyTorch archive, or is damaged: {error}", "download or copy it again."
    raise WeightsError(f"{path} {problem}.", code="weights-unreadable", remedy=remedy)


def _unwrap(content: Any, choice: Choice, path: Path) -> tuple[dict[str, Any], str]:
    average = content.get("ema_state_dict") if isinstance(content, Mapping) else None
    if choice == "ema" and not average:
        raise WeightsError(
            f"{path} holds no moving average (ema_state_dict), which --weights ema insists on.",
            code="weights-no-ema",
            remedy="leave --weights out, or give --weights plain.",
        )
    if average and choice != "plain":
        return _strip_prefix(average), "ema"
    for key in ("state_dict", "gen_model", "params"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"{path} holds a {type(content).__name__} without tensors, expected named tensors, a state_dict or "
            "an ema_state_dict.",
            code="weights-unreadable",
            remedy="give a checkpoint of the network itself.",
        )
    return _strip_prefix(content), "plain"


def _strip_prefix(state: Mapping[str, Any], prefix: str = "module.") -> dict[str, Any]:
    """Remove the prefix that wrapping for several devices adds to all names."""
    wrapped = all(name.startswith(prefix) for name in state)
    return {name.removeprefix(prefix) if wrapped else name: value for name, value in state.items()}


def _check_tensors(state: Mapping[str, Any], path: Path) -> None:
    for name, value in state.items():
        if not isinstance(value, Tensor):
            problem = f"is a {type(value).__name__}, expected a tensor"
        elif value.is_floating_point() and not value.isfinite().all():
            problem = "has values that are not finite"
        else:
            continue
        raise WeightsError(
            f"{name} of {path} {problem}.",
            code="weights-invalid",
            remedy="download or copy the file again, or give a checkpoint of the network itself.",
        )
