"""The authors' released weights under this package's names.

Their file is the state dict of a diffusion object: the network under ``denoise_fn.``, with 330 parameters and the
fixed positions as a buffer (``pos_embed``), and noise levels that the flow does not use (``betas``, ignored). Every
parameter is renamed; two are also reshaped, since a convolution whose stride equals its kernel, or whose kernel is one
voxel, is a linear layer. Nothing is computed, so the conversion is reversible.

The positions are compared with the network's own: weights trained with others would load, and every output would be
wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medsyn2.errors import WeightsError, list_names
from medsyn2.nn.transformer.dit_official import CROSS_HEADS
from medsyn2.nn.transformer.layers import TIME_FREQUENCIES, Patch, TokenGrid, positions

NUM_HEADS = 16
"""Heads of self-attention in the release; not evident from the tensors' shapes."""
TOKEN_GRID: TokenGrid = (56, 28, 28)
"""Token grid of the release's training."""

_WRAPPERS = ("module.", "_orig_mod.", "denoise_fn.")
_IGNORED = "betas"
_POSITIONS = "pos_embed"
_POSITIONS_ATOL = 1e-3  # they may be stored in half precision

_NETWORK = {
    "x_embedder.proj": "patch_embedding",
    "t_embedder.mlp.0": "time_embedding.expand",
    "t_embedder.mlp.2": "time_embedding.project",
    "final_layer.adaLN_modulation.1": "final_modulation",
    "final_layer.linear": "final",
}
_BLOCK = {
    "adaLN_modulation.1": "modulation",
    "attn.qkv": "self_attention.fused",
    "attn.proj": "self_attention.out",
    "cross_attn.q_linear": "cross_attention.fused",
    "cross_attn.kv_linear": "cross_attention.key_value",
    "cross_attn.proj": "cross_attention.out",
    "mlp.fc1": "feed_forward.expand",
    "mlp.fc2": "feed_forward.project",
    "conv.depthwise_conv.depthwise_conv": "convolution.depthwise",
    "conv.pointwise_conv.pointwise_conv": "convolution.pointwise",
}


@dataclass(frozen=True)
class OfficialWeights:
    """Released weights."""

    config: dict[str, Any]  # Arguments of `DiT`
    state: dict[str, Tensor]  # State dict of that network


def load_official(
    state: Mapping[str, Tensor], *, num_heads: int = NUM_HEADS, grid: TokenGrid = TOKEN_GRID
) -> OfficialWeights:
    """Check every name, every shape and the positions, and rename the released state dict.

    Raises:
        WeightsError: If a tensor is missing, unexpected or of another shape, or the positions differ; the message gives
            the authors' names.
    """
    theirs = {_strip_wrappers(name): tensor for name, tensor in state.items()}
    theirs.pop(_IGNORED, None)
    config = {**_sizes(theirs), "num_heads": num_heads, "layout": "official"}
    if num_heads < 1 or config["width"] % (CROSS_HEADS * num_heads):
        raise _layout_error(f"their width {config['width']} does not divide by {CROSS_HEADS} x {num_heads} heads")
    expected = _tensor_shapes(config, grid)
    problems = [
        *list_names("missing", [name for name in expected if name not in theirs]),
        *list_names("unexpected", [name for name in theirs if name not in expected]),
        *list_names(
            "of another shape",
            [
                f"{name} {tuple(theirs[name].shape)} instead of {shape}"
                for name, shape in expected.items()
                if name in theirs and tuple(theirs[name].shape) != shape
            ],
        ),
    ]
    if problems:
        raise _layout_error("; ".join(problems))
    stored = theirs.pop(_POSITIONS)
    apart = (stored[0].float().cpu() - positions(grid, config["width"], torch.device("cpu"))).abs().max().item()
    if not apart <= _POSITIONS_ATOL:
        raise _layout_error(f"{_POSITIONS} differs by {apart:.3g} from the sine-cosine positions of {grid} tokens")
    names = _names(config["depth"])
    return OfficialWeights(config, {names[name]: _linear(name, tensor) for name, tensor in theirs.items()})


def _strip_wrappers(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    return name


def _sizes(theirs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Infer the sizes from a few tensors; all others are then checked against them."""
    patch, key_value, hidden = ("x_embedder.proj.weight", "blocks.0.cross_attn.kv_linear.weight", "mlp.fc1.weight")
    telling = {patch: 5, key_value: 2, f"blocks.0.{hidden}": 2}
    unfit = [name for name, rank in telling.items() if name not in theirs or theirs[name].ndim != rank]
    if unfit:
        raise _layout_error("; ".join(list_names("missing or of another rank", unfit)))
    width, channels, *voxels = theirs[patch].shape
    return {
        "latent_channels": channels // 2,
        "text_width": theirs[key_value].shape[1],
        "width": width,
        "depth": len({name.split(".")[1] for name in theirs if name.startswith("blocks.")}),
        "patch": tuple(voxels),
        "mlp_ratio": theirs[f"blocks.0.{hidden}"].shape[0] / width,
    }


def _tensor_shapes(config: Mapping[str, Any], grid: TokenGrid) -> dict[str, tuple[int, ...]]:
    """Return the expected shape of every tensor by the authors' names."""
    width, text_width, z = config["width"], config["text_width"], config["latent_channels"]
    patch: Patch = config["patch"]
    hidden = round(config["mlp_ratio"] * width)
    weights: dict[str, tuple[int, ...]] = {
        "x_embedder.proj": (width, 2 * z, *patch),
        "t_embedder.mlp.0": (width, TIME_FREQUENCIES),
        "t_embedder.mlp.2": (width, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
        "final_layer.linear": (patch[0] * patch[1] * patch[2] * z, width),
    }
    block: dict[str, tuple[int, ...]] = {
        "adaLN_modulation.1": (9 * width, width),
        "attn.qkv": (4 * width, width),
        "attn.proj": (width, width),
        "cross_attn.q_linear": (2 * width, width),
        "cross_attn.kv_linear": (2 * width, text_width),
        "cross_attn.proj": (width, width),
        "mlp.fc1": (hidden, width),
        "mlp.fc2": (width, hidden),
        "conv.depthwise_conv.depthwise_conv": (width, 1, 3, 3, 3),
        "conv.pointwise_conv.pointwise_conv": (width, width, 1, 1, 1),
    }
    for i in range(config["depth"]):
        weights |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    shapes: dict[str, tuple[int, ...]] = {_POSITIONS: (1, grid[0] * grid[1] * grid[2], width)}
    for name, shape in weights.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def _names(depth: int) -> dict[str, str]:
    """Map the authors' names to this package's."""
    layers = {**_NETWORK}
    for i in range(depth):
        layers |= {f"blocks.{i}.{theirs}": f"blocks.{i}.{ours}" for theirs, ours in _BLOCK.items()}
    return {f"{a}.{kind}": f"{b}.{kind}" for a, b in layers.items() for kind in ("weight", "bias")}


def _linear(name: str, tensor: Tensor) -> Tensor:
    """Reshape the weight of a convolution that is a linear layer here; return other tensors unchanged."""
    if name == "x_embedder.proj.weight":
        return tensor.movedim(1, -1).flatten(1)  # a token's values: (depth, height, width, channel)
    return tensor.flatten(1) if name.endswith("pointwise_conv.weight") else tensor


def _layout_error(problem: str) -> WeightsError:
    return WeightsError(
        f"the tensors are not those of the released MedSyn2 network: {problem}.",
        code="weights-layout",
        remedy="give the authors' final_ckpt as it was released; networks trained here are loaded by their JSON.",
    )
