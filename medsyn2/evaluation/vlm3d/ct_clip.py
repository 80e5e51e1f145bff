"""CT-CLIP's two towers, in whose space the challenge's CLIP scores are cosines.

The image tower is CT-ViT: patches of 10 x 20 x 20 voxels become tokens, which attend to each other first within a slab
of slices, with a bias that a small network makes of their distance, then along the depth. Each token is replaced by the
nearest word of a codebook; the mean over the depth, all its tokens in a row, is projected to the latent. Two details
are the published code's and part of the weights: keys and values are made of tokens before their normalisation, and the
convolution that tells the second transformer positions takes its tokens in another order than they are in.

The text tower is a BERT, of which the vector of ``[CLS]`` is projected.

Source: Hamamci et al., arXiv:2403.17834 and 2305.16037; github.com/ibrahimethemhamamci/CT-CLIP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.vlm3d.inputs import for_ct_clip
from medsyn2.files import sha256_of
from medsyn2.nn.device import available_device
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.types import Float
from medsyn2.weights.tensors import load_component, load_strictly, tensors_path

KIND = "ct-clip"
DESCRIPTION, TEXT_ENCODER = "ct-clip.json", "text_encoder"
"""In a converted folder: the description of the image tower and the projections, and the folder of the text tower."""
MAX_TOKENS = 512
_TEXT, _IMAGE = "text_transformer.", "visual_transformer."
_UNUSED = (
    *("temperature", "to_text_latent_extra.", "to_visual_latent_extra."),
    *(f"{_IMAGE}{name}" for name in ("to_patch_emb_first_frame.", "to_pixels.", "to_pixels_first_frame.")),
    *(f"{_IMAGE}vq._codebook.{name}" for name in ("initted", "cluster_size", "embed_avg")),
)
"""Starts of the names of tensors that embeddings do not depend on."""
_UNUSED_ENDS = (".context_norm.gamma", ".context_norm.beta", ".null_kv")
"""Ends of names in self-attention, which has no context; ``null_kv`` is empty there."""
_SLOPE = 0.1
_SCALE = 8


@dataclass(frozen=True)
class Sizes:
    """Sizes of the towers; the tensors tell all but the first three."""

    shape: tuple[int, int, int] = (240, 480, 480)  # Voxels of a CT
    patch: int = 20  # Voxels of a patch along the height and the width
    slab: int = 10  # Slices of a patch
    width: int = 512  # Numbers of a token
    heads: int = 8  # Heads of the attention
    head_width: int = 32  # Numbers of a head
    depths: tuple[int, int] = (4, 4)  # Layers within slabs and along the depth
    words: int = 8192  # Words of the codebook
    latent: int = 512  # Numbers of an embedding
    text_width: int = 768  # Numbers of a vector of the text tower


class _Norm(nn.Module):
    """A layer normalisation whose shift is not learnt."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.register_buffer("beta", torch.zeros(width))

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        return functional.layer_norm(x, x.shape[-1:], self.gamma, self.get_buffer("beta"))


class _Positions(nn.Module):
    """A convolution over the tokens' places, which sees earlier slabs and its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dsconv = nn.Conv3d(width, width, 3, groups=width)

    def forward(self, x: Float[Tensor, "n m d"], grid: tuple[int, int, int]) -> Float[Tensor, "n m d"]:
        placed = x.reshape(1, *grid, -1).movedim(-1, 1)
        seen = self.dsconv(functional.pad(placed, (1, 1, 1, 1, 2, 0)))
        return seen.movedim(1, -1).reshape(x.shape)


class _Attention(nn.Module):
    """Self-attention of queries and keys of length one."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        inner = sizes.heads * sizes.head_width
        self.heads = sizes.heads
        self.norm = _Norm(sizes.width)
        self.to_q = nn.Linear(sizes.width, inner, bias=False)
        self.to_kv = nn.Linear(sizes.width, 2 * inner, bias=False)
        self.q_scale = nn.Parameter(torch.ones(sizes.head_width))
        self.k_scale = nn.Parameter(torch.ones(sizes.head_width))
        self.to_out = nn.Linear(inner, sizes.width, bias=False)

    def forward(self, x: Float[Tensor, "n m d"], bias: Float[Tensor, "h m m"] | None) -> Float[Tensor, "n m d"]:
        parts = (self.to_q(self.norm(x)), *self.to_kv(x).chunk(2, dim=-1))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        q = functional.normalize(q, dim=-1) * self.q_scale
        k = functional.normalize(k, dim=-1) * self.k_scale
        found = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=_SCALE)
        out: Tensor = self.to_out(found.transpose(1, 2).flatten(2))
        return out


class _Gate(nn.Module):
    """Half of the numbers, times the other half's GELU."""

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... e"]:
        values, gate = x.chunk(2, dim=-1)
        return functional.gelu(gate) * values


class _Transformer(nn.Module):
    """Layers of a convolution over places, attention and a gated perceptron, each added to its input."""

    def __init__(self, depth: int, sizes: Sizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_layer(sizes) for _ in range(depth))
        self.norm_out = _Norm(sizes.width)

    def forward(
        self, x: Float[Tensor, "n m d"], grid: tuple[int, int, int], bias: Float[Tensor, "h m m"] | None = None
    ) -> Float[Tensor, "n m d"]:
        for layer in self.layers:
            positions, attention, perceptron = layer.children()
            x = positions(x, grid) + x
            x = attention(x, bias) + x
            x = perceptron(x) + x
        out: Tensor = self.norm_out(x)
        return out


def _layer(sizes: Sizes) -> nn.ModuleDict:
    inner = int(4 * (2 / 3) * sizes.width)
    perceptron = nn.Sequential(
        nn.LayerNorm(sizes.width),
        nn.Linear(sizes.width, 2 * inner, bias=False),
        _Gate(),
        nn.Dropout(0.0),
        nn.Linear(inner, sizes.width, bias=False),
    )
    return nn.ModuleDict({"0": _Positions(sizes.width), "1": _Attention(sizes), "3": perceptron})


class _DistanceBias(nn.Module):
    """A bias of the attention for each head, of the signed logarithms of two tokens' distance along two axes."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        widths = (2, sizes.width, sizes.width)
        layers = [nn.Sequential(nn.Linear(a, b), nn.LeakyReLU(_SLOPE)) for a, b in pairwise(widths)]
        self.net = nn.ModuleList([*layers, nn.Linear(sizes.width, sizes.heads)])

    def forward(self, rows: int, columns: int) -> Float[Tensor, "h m m"]:
        device = next(self.parameters()).device
        at = torch.cartesian_prod(torch.arange(rows, device=device), torch.arange(columns, device=device))
        apart = (at[:, None] - at[None]).float()
        x = apart.sign() * (apart.abs() + 1).log()
        for layer in self.net:
            x = layer(x)
        return x.movedim(-1, 0)


class _Codebook(nn.Module):
    """The words that tokens are replaced by."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.register_buffer("embed", torch.zeros(1, sizes.words, sizes.width))

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        words = self.get_buffer("embed")[0]
        return words[(functional.normalize(x, dim=-1) @ functional.normalize(words, dim=-1).T).argmax(-1)]


class CTViT(nn.Module):
    """The image tower up to the codebook's words."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        voxels = sizes.slab * sizes.patch**2
        self.to_patch_emb = nn.Sequential(
            nn.Identity(), nn.LayerNorm(voxels), nn.Linear(voxels, sizes.width), nn.LayerNorm(sizes.width)
        )
        self.spatial_rel_pos_bias = _DistanceBias(sizes)
        self.enc_spatial_transformer = _Transformer(sizes.depths[0], sizes)
        self.enc_temporal_transformer = _Transformer(sizes.depths[1], sizes)
        self.vq = nn.ModuleDict({"_codebook": _Codebook(sizes)})

    def forward(self, ct: Float[Tensor, "d w h"]) -> Float[Tensor, "t p e"]:
        slab, patch = self.sizes.slab, self.sizes.patch
        cut = ct.unflatten(2, (-1, patch)).unflatten(1, (-1, patch)).unflatten(0, (-1, slab))
        grid = (cut.shape[0], cut.shape[2], cut.shape[4])
        patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        tokens = self.to_patch_emb(patches)
        tokens = self.enc_spatial_transformer(tokens, grid, self.spatial_rel_pos_bias(*grid[1:]))
        tokens = self.enc_temporal_transformer(tokens.transpose(0, 1).contiguous(), grid).transpose(0, 1)
        words: Tensor = self.vq["_codebook"](tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        return words


class CTClip(nn.Module):
    """The image tower and both projections, always in evaluation mode."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        rows, columns = (n // sizes.patch for n in sizes.shape[1:])
        self.visual_transformer = CTViT(sizes)
        self.to_visual_latent = nn.Linear(rows * columns * sizes.width, sizes.latent, bias=False)
        self.to_text_latent = nn.Linear(sizes.text_width, sizes.latent, bias=False)
        self.eval()

    @torch.no_grad()
    def embed_image(self, ct: Float[Tensor, "d w h"]) -> Float[Tensor, " e"]:
        """Return the embedding of a CT as `for_ct_clip` prepares it."""
        return functional.normalize(self.to_visual_latent(self.visual_transformer(ct).mean(0).flatten()), dim=-1)

    @torch.no_grad()
    def embed_text(self, vector: Float[Tensor, " w"]) -> Float[Tensor, " e"]:
        """Return the embedding of a text, of its vector of ``[CLS]``."""
        return functional.normalize(self.to_text_latent(vector), dim=-1)


class CTClipExtractor:
    """Maps CTs and texts to CT-CLIP's embeddings.

    Args:
        folder: The folder that ``medsyn2 convert ct-clip`` wrote.
        device: Where the towers run.

    Raises:
        WeightsError: If the weights are missing, unreadable or of another layout.
    """

    name = "ct_clip"

    def __init__(self, folder: Path, device: str) -> None:
        path = folder / DESCRIPTION
        config, state = load_component(path, KIND)
        self._device = available_device(device)
        self._sizes = Sizes(**config)
        self._network = CTClip(self._sizes)
        load_strictly(self._network, state, source=str(path))
        self._network.to(self._device)
        self._text_encoder = TextEncoder.from_folder(folder / TEXT_ENCODER).to(self._device)
        self.sha256 = sha256_of(tensors_path(path))

    def __call__(self, volume: CTVolume) -> Float[Tensor, " e"]:
        """Return the embedding of a CT in HU."""
        return self._network.embed_image(for_ct_clip(volume, self._sizes.shape).to(self._device)).cpu()

    def embed_text(self, text: str) -> Float[Tensor, " e"]:
        """Return the embedding of a text, cut where the encoder's positions end."""
        limit = min(MAX_TOKENS, self._text_encoder.max_tokens)
        return self._network.embed_text(self._text_encoder.encode([text], limit).embeddings[0, 0]).cpu()


def split_published(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the published tensors of `CTClip` and those of its text tower, without those that nothing depends on."""
    text = {name.removeprefix(_TEXT): tensor for name, tensor in state.items() if name.startswith(_TEXT)}
    kept = {
        name: tensor
        for name, tensor in state.items()
        if not name.startswith((_TEXT, *_UNUSED))
        and not (name.startswith(_IMAGE) and name.endswith(_UNUSED_ENDS[:2]))
        and not (name.startswith(_IMAGE) and name.endswith(_UNUSED_ENDS[2]) and tensor.numel() == 0)
    }
    return kept, text


def sizes_of(state: Mapping[str, Tensor], **known: Any) -> Sizes:
    """Return the sizes that tensors of `CTClip` tell; those of another network give sizes that do not fit it.

    Args:
        known: Sizes that they do not tell, in place of the published ones.
    """
    shapes = {name.removeprefix(_IMAGE): tuple(tensor.shape) for name, tensor in state.items()}
    told = {
        "width": ("to_patch_emb.2.weight", 0),
        "heads": ("spatial_rel_pos_bias.net.2.weight", 0),
        "head_width": ("enc_spatial_transformer.layers.0.1.q_scale", 0),
        "words": ("vq._codebook.embed", 1),
        "latent": ("to_visual_latent.weight", 0),
        "text_width": ("to_text_latent.weight", 1),
    }
    found: dict[str, Any] = {size: shapes[name][axis] for size, (name, axis) in told.items() if name in shapes}
    spatial, temporal = (
        len({name.split(".")[2] for name in shapes if name.startswith(f"enc_{kind}_transformer.layers.")})
        for kind in ("spatial", "temporal")
    )
    return Sizes(**found, depths=(spatial, temporal), **known)
