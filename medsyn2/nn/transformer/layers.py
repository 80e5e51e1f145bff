"""Layers of the diffusion transformer.

Tokens are patches of the latent grid in the order (depth, height, width), width fastest, so that the token tensor
(b, n, e), viewed as (b, ld, lh, lw, e), is the grid in channels-last memory: the convolution over tokens needs no
copy, and a contiguous run of tokens is a slab of depth. Values of a token are ordered (depth, height, width,
channel), channel fastest.

Source: DiT (Peebles & Xie 2023: adaptive normalisation with zero-initialised modulation, fixed sine-cosine positions);
gated attention (Qiu et al. 2025).
"""

from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medsyn2.nn.attention import attend
from medsyn2.nn.transformer.depthwise import convolve_depthwise
from medsyn2.types import Bool, Float

Patch = tuple[int, int, int]
TokenGrid = tuple[int, int, int]

TIME_FREQUENCIES = 256
MAX_PERIOD = 10_000.0
NORM_EPS = 1e-6


def patchify(latents: Float[Tensor, "b z ld lh lw"], patch: Patch) -> Float[Tensor, "b n p"]:
    """Cut `latents` into non-overlapping patches of `patch` (depth, height, width) latent voxels, one token each."""
    b, z, *grid = latents.shape
    (ld, pd), (lh, ph), (lw, pw) = ((size // p, p) for size, p in zip(grid, patch, strict=True))
    split = latents.reshape(b, z, ld, pd, lh, ph, lw, pw)
    # permuted to (b, ld, lh, lw, pd, ph, pw, z)
    return split.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(b, ld * lh * lw, pd * ph * pw * z)


def unpatchify(tokens: Float[Tensor, "b n p"], grid: TokenGrid, patch: Patch) -> Float[Tensor, "b z ld lh lw"]:
    """Put one token per cell of `grid` back into a latent grid: the inverse of `patchify`."""
    split = tokens.reshape(len(tokens), *grid, *patch, -1)  # (b, ld, lh, lw, pd, ph, pw, z)
    b, z = split.shape[0], split.shape[-1]
    merged = split.permute(0, 7, 1, 4, 2, 5, 3, 6)  # (b, z, ld, pd, lh, ph, lw, pw)
    return merged.reshape(b, z, *(cells * p for cells, p in zip(grid, patch, strict=True)))


def positions(grid: TokenGrid, width: int, device: torch.device) -> Float[Tensor, "n e"]:
    """Return the fixed 3-D sine-cosine position of each token of `grid`.

    Depth, height and width have a third of the channels each, in this order: the sines, then the cosines, of the
    integer coordinate at frequencies from 1 down to 1/10000. They are computed for any grid, so that one network takes
    volumes of any size.

    Source: DiT's 2-D positions (facebookresearch/DiT), extended to three axes.
    """
    frequencies = width // 6
    steps = torch.arange(frequencies, dtype=torch.float64, device=device) / frequencies
    omega = MAX_PERIOD**-steps
    axes = []
    for axis, cells in enumerate(grid):
        angle = torch.arange(cells, dtype=torch.float64, device=device)[:, None] * omega
        view = [1, 1, 1, 2 * frequencies]
        view[axis] = cells
        table = torch.cat((angle.sin(), angle.cos()), dim=1).float()
        axes.append(table.view(view).expand(*grid, -1))
    return torch.cat(axes, dim=-1).flatten(0, 2)


def rotations(grid: TokenGrid, head_width: int, device: torch.device) -> Float[Tensor, "2 n r"]:
    """Return cosines and sines of the angles by which `rotate` turns each token's queries and keys.

    Each axis has a third of a head's pairs of channels, depth also the remainder; angles are the integer coordinate
    at frequencies from 1 down to 1/10000.

    Source: RoFormer (arXiv:2104.09864), a share of each head for each axis.
    """
    pairs = head_width // 2
    shares = (pairs - 2 * (pairs // 3), pairs // 3, pairs // 3)
    axes = []
    for axis, (cells, share) in enumerate(zip(grid, shares, strict=True)):
        omega = MAX_PERIOD ** (-torch.arange(share, dtype=torch.float64, device=device) / share)
        view = [1, 1, 1, share]
        view[axis] = cells
        angle = torch.arange(cells, dtype=torch.float64, device=device)[:, None] * omega
        axes.append(angle.view(view).expand(*grid, -1))
    angles = torch.cat(axes, dim=-1).flatten(0, 2)
    return torch.stack((angles.cos(), angles.sin())).float()


def rotate(x: Float[Tensor, "b heads n d"], rotation: Float[Tensor, "2 n r"]) -> Float[Tensor, "b heads n d"]:
    """Rotate each pair of channels by its token's angle: products then depend on relative positions only."""
    (a, b), (cos, sin) = x.float().chunk(2, dim=-1), rotation
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1).to(x.dtype)


def time_frequencies(t: Float[Tensor, " b"]) -> Float[Tensor, "b f"]:
    """Return cosines and sines of 1000 t, in float32.

    The factor 1000 separates neighbouring times: unscaled, times 0.002 apart differ by less than bfloat16 resolves,
    near t = 0 where the loss depends on t the most.

    Source: DiT's timestep embedding (facebookresearch/DiT); the factor as in FLUX.
    """
    half = TIME_FREQUENCIES // 2
    omega = torch.exp(-log(MAX_PERIOD) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angle = 1000.0 * t.float()[:, None] * omega
    return torch.cat((angle.cos(), angle.sin()), dim=1)


class TimeEmbedding(nn.Module):
    """Map times to features: sinusoid, linear, SiLU, linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(TIME_FREQUENCIES, width)
        self.project = nn.Linear(width, width)

    def forward(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b e"]:
        features = time_frequencies(t).to(self.expand.weight.dtype)
        return self.project(F.silu(self.expand(features)))


def modulate(
    x: Float[Tensor, "b n e"], scale: Float[Tensor, "b 1 e"], shift: Float[Tensor, "b 1 e"]
) -> Float[Tensor, "b n e"]:
    """Normalise `x` and apply the time's scale and shift: the adaptive part of adaLN.

    The factor is 1 + scale: with scale alone, as the paper's text reads, and zero initialisation, every
    gradient of the network is exactly zero and it never learns. It is formed in float32 at least: bfloat16 would
    round scales below 0.003 away. The result has the type of `x`, so that all layers that take it share one copy.
    """
    factor = 1 + scale.to(torch.promote_types(scale.dtype, torch.float32))
    return (F.layer_norm(x, x.shape[-1:], eps=NORM_EPS) * factor + shift).to(x.dtype)


def split_heads(features: Float[Tensor, "b n e"], num_heads: int) -> Float[Tensor, "b heads n d"]:
    """Split the features into heads, with the head axis before the token axis."""
    return features.view(*features.shape[:2], num_heads, -1).transpose(1, 2)


class HeadNorm(nn.RMSNorm):
    """RMS normalisation of each head, outside autocast: computed in float32 at least, in the type of its input.

    Since PyTorch 2.12 autocast on CUDA takes the normalisation's input to float32 and leaves its output there, and
    attention would lose its kernels for 16 bits.
    """

    def forward(self, x: Float[Tensor, "b heads n d"]) -> Float[Tensor, "b heads n d"]:
        with torch.autocast(x.device.type, enabled=False):
            # The kernel computes in float32 whatever the type, and is fused if the weights have the type of the input.
            return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class GatedAttention(nn.Module):
    """Multi-head attention whose output is gated by its queries' input (equation 2).

    Each head computes sigmoid(x W_gate) * softmax(q k^T / sqrt(d)) v; then all heads are projected. `context` gives
    keys and values: the tokens themselves in self-attention, the text in cross-attention.

    Args:
        width: Feature dimension of queries and output; divides by `num_heads`.
        qk_norm: Normalise queries and keys of each head (RMS), which bounds the logits in low precision.

    Source: Qiu et al. 2025 (qiuzh20/gated_attention): elementwise gate after attention, no bias.
    """

    def __init__(self, width: int, num_heads: int, context_width: int, *, qk_norm: bool, gate: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context_width, 2 * width)
        self.query_norm = HeadNorm(width // num_heads, eps=NORM_EPS) if qk_norm else nn.Identity()
        self.key_norm = HeadNorm(width // num_heads, eps=NORM_EPS) if qk_norm else nn.Identity()
        self.gate = nn.Linear(width, width, bias=False) if gate else None
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "b n e"],
        context: Float[Tensor, "b m c"],
        context_mask: Bool[Tensor, "b m"] | None = None,
        rotation: Float[Tensor, "2 n r"] | None = None,
    ) -> Float[Tensor, "b n e"]:
        """Attend from `x` to the tokens of `context` where `context_mask` is true, or to all."""
        keys, values = self.key_value(context).chunk(2, dim=-1)
        q = self.query_norm(split_heads(self.query(x), self.num_heads))  # (b, heads, n, d)
        k = self.key_norm(split_heads(keys, self.num_heads))  # (b, heads, m, d)
        v = split_heads(values, self.num_heads)  # (b, heads, m, d)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        mask = None if context_mask is None else context_mask[:, None, None, :]  # (b, 1, 1, m)
        attended = attend(q, k, v, mask)  # (b, heads, n, d)
        y = attended.transpose(1, 2).flatten(2)  # (b, n, e)
        if self.gate is not None:
            y = y * torch.sigmoid(self.gate(x))
        return self.out(y)


class FeedForward(nn.Module):
    """Two linear layers with GELU (tanh form) between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.project = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "b n e"]) -> Float[Tensor, "b n e"]:
        return self.project(F.gelu(self.expand(x), approximate="tanh"))


class TokenConvolution(nn.Module):
    """Depthwise 3 x 3 x 3, then pointwise convolution over the grid of tokens, with nothing between.

    After a block it has no residual (last line of equation 2) and starts as the identity: with PyTorch's initialisation
    the output of one block would correlate with its input by 0.002. Parallel to a block, as in the authors' network, it
    is added and starts as zero. The output has the input's type, so that under autocast all blocks work in one type and
    share one compiled graph.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv3d(width, width, kernel_size=3, padding=1, groups=width)
        self.pointwise = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n e"], grid: TokenGrid) -> Float[Tensor, "b n e"]:
        assert self.depthwise.bias is not None
        volume = x.view(len(x), *grid, -1)
        convolved = convolve_depthwise(volume, self.depthwise.weight, self.depthwise.bias)
        return self.pointwise(convolved.flatten(1, 3)).to(x.dtype)

    def reset_to_identity(self) -> None:
        """Make the layer the identity."""
        for layer in (self.depthwise, self.pointwise):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.depthwise.weight)
        nn.init.ones_(self.depthwise.weight[:, :, 1, 1, 1])
        nn.init.eye_(self.pointwise.weight)

    def reset_to_zero(self) -> None:
        """Make the output zero; the depthwise part, the identity, has gradients from the second step on."""
        self.reset_to_identity()
        nn.init.zeros_(self.pointwise.weight)
