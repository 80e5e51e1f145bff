"""Detection of a foreign tokenizer's layout and sizes from names and shapes.

Parameters have the published names, so nothing is renamed. The encoder's first convolution and the halving of depth
distinguish four layouts:

    encoder.conv_in.conv.weight                       Open-Sora Plan v1.0, refused
    encoder.conv_in.weight, 3-D                       ``official``
    encoder.conv_in.weight, 2-D, with a mix_factor    ``v1.1``
    encoder.conv_in.weight, 2-D, without              ``v1.2``

v1.0 is superseded, and its attention mixes channels and slices, so that results depend on the window's depth. The
authors' release shares that attention, and is read because a model was trained on it. The same names can hide that
attention in v1.1 and v1.2, so a ``config.json`` that names it is refused as well.

The compression of depth is a choice (``depth_mode``), recorded with the result, and not in the weights. Group
normalisation has 32 groups in all layouts.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from medsyn2.config import TokenizerConfig
from medsyn2.errors import WeightsError
from medsyn2.nn.autoencoder.layouts import LAYOUTS, DepthMode, LayoutName
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.weights.tensors import load_strictly

GROUPS = 32
TRAINING_ONLY = ("loss.",)
"""Prefixes of other networks in checkpoints: perceptual network and discriminator."""
_LEVELS = 4
_MIXING_ATTENTION = "AttnBlock3D"


def detect_layout(state: Mapping[str, Tensor], *, source: str) -> LayoutName:
    """Return the layout of `state`, by names and shapes.

    Raises:
        WeightsError: If it is v1.0 or unknown.
    """
    if "encoder.conv_in.conv.weight" in state:
        raise WeightsError(
            f"{source} is Open-Sora Plan's v1.0 tokenizer, whose attention mixes channels and slices, so that "
            "latents depend on how deep the encoded window is.",
            code="tokenizer-v1.0",
            remedy="use the v1.2 or v1.1 weights, which superseded it.",
        )
    first = state.get("encoder.conv_in.weight")
    if first is None:
        raise _unknown(source, "it has no encoder.conv_in.weight")
    if first.ndim == 5:
        return "official"
    return "v1.1" if "encoder.down.1.time_downsample.mix_factor" in state else "v1.2"


def tokenizer_config(
    state: Mapping[str, Tensor], depth_mode: DepthMode | None = None, *, source: str
) -> TokenizerConfig:
    """Return the configuration of the tokenizer with the tensors `state`.

    Args:
        state: Tensors by name, without `TRAINING_ONLY`.
        depth_mode: Compression of depth; by default ``uniform_aligned``, or the layout's only mode.

    Raises:
        WeightsError: If the layout is unknown or refused, or a tensor that determines the size is missing.
    """
    layout = detect_layout(state, source=source)
    causal = LAYOUTS[layout].causal

    def shape(name: str, *, wrapped: bool) -> torch.Size:
        full = f"{name}.conv.weight" if wrapped else f"{name}.weight"
        if full not in state:
            raise _unknown(source, f"it has no {full}")
        return state[full].shape

    widths = [
        shape(f"encoder.down.{i}.block.0.conv1", wrapped=causal and i >= LAYOUTS[layout].planar_levels)[0]
        for i in range(_LEVELS)
    ]
    hidden = widths[0]
    if hidden % GROUPS or any(width % hidden for width in widths):
        raise _unknown(source, f"its levels have {widths} channels, not multiples of {GROUPS}")
    _, second, third, fourth = (width // hidden for width in widths)
    blocks = {name.split(".")[4] for name in state if name.startswith("encoder.down.0.block.")}
    return TokenizerConfig(
        hidden_channels=hidden,
        channel_multipliers=(1, second, third, fourth),
        num_res_blocks=len(blocks),
        latent_channels=shape("post_quant_conv", wrapped=causal)[0],
        norm_groups=GROUPS,
        depth_mode=depth_mode or ("uniform_aligned" if causal else "uniform_paper"),
        layout=layout,
    )


def build_tokenizer(
    state: Mapping[str, Tensor], depth_mode: DepthMode | None = None, *, source: str
) -> tuple[TokenizerConfig, CausalVideoVAE]:
    """Build the tokenizer of `state` and load it strictly."""
    config = tokenizer_config(state, depth_mode, source=source)
    network = CausalVideoVAE(**config.model_dump())
    load_strictly(network, state, source=source)
    return config, network


def check_published_config(path: Path) -> None:
    """Refuse a published ``config.json`` with the attention that mixes channels and slices."""
    try:
        values = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f"{path} is no JSON object: {error}.",
            code="weights-unreadable",
            remedy="download or copy it again, or give the path of the weights' file alone.",
        ) from error
    for key, value in values.items():
        if value == _MIXING_ATTENTION:
            raise WeightsError(
                f"{path} says {key}: {value}, an attention that mixes channels and slices; expected AttnBlock3DFix.",
                code="tokenizer-attention",
                remedy="use the v1.2 or v1.1 weights with AttnBlock3DFix; the parameters' names are the same.",
            )


def _unknown(source: str, why: str) -> WeightsError:
    return WeightsError(
        f"{source} is no tokenizer of a layout that is known ({', '.join(LAYOUTS)}): {why}.",
        code="tokenizer-layout",
        remedy="give the checkpoint of Open-Sora Plan's CausalVideoVAE, v1.1 or v1.2, or the authors' vae.ckpt.",
    )
