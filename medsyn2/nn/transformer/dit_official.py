"""The block of the network that the authors of MedSyn2 released, which differs from the paper's.

    r <- Convolution(x)                                              of the block's input, in parallel
    x <- x + out_1 * SelfAttention (LN(x) * (1 + scale_1) + shift_1)
    x <- x + out_2 * CrossAttention(LN(x) * (1 + scale_2) + shift_2, text)
    x <- x + out_3 * FeedForward   (LN(x) * (1 + scale_3) + shift_3)
    x <- x + r

The convolution is parallel, gates have a bias, cross-attention has three times as many heads as self-attention (48 of
24 channels), and queries, keys, values and gates come from fused matrices. At the paper's size (16 heads) the network
has 585,756,320 parameters in 330 tensors. The order of rows in the fused matrices and in the modulation is theirs, so
that their weights load by renaming (``official_weights.py``).

Their code attends to the padding of texts: for outputs equal to theirs, pass padded text without a mask.

Source: batmanlab/MedSynV2 at 5be924c, read and compared with, no code taken.
"""

import torch
from torch import Tensor, nn

from medsyn2.nn.attention import attend
from medsyn2.nn.transformer.layers import (
    NORM_EPS,
    FeedForward,
    HeadNorm,
    TokenConvolution,
    TokenGrid,
    modulate,
    rotate,
    split_heads,
)
from medsyn2.types import Bool, Float

CROSS_HEADS = 3
"""Heads of cross-attention per head of self-attention."""


class OfficialBlock(nn.Module):
    """One block: convolution of the input beside self-attention, cross-attention and feed-forward."""

    def __init__(
        self, width: int, num_heads: int, text_width: int, hidden: int, *, qk_norm: bool, gate: bool, conv: bool
    ) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 9 * width)
        self.self_attention = FusedAttention(width, num_heads, None, qk_norm=qk_norm, gate=gate)
        self.cross_attention = FusedAttention(width, CROSS_HEADS * num_heads, text_width, qk_norm=qk_norm, gate=gate)
        self.feed_forward = FeedForward(width, hidden)
        self.convolution = TokenConvolution(width) if conv else None

    def forward(
        self,
        x: Float[Tensor, "b n e"],
        time: Float[Tensor, "b e"],
        text: Float[Tensor, "b m c"],
        text_mask: Bool[Tensor, "b m"] | None,
        grid: TokenGrid,
        rotation: Float[Tensor, "2 n r"] | None = None,
    ) -> Float[Tensor, "b n e"]:
        (shift_1, scale_1, out_1), (shift_3, scale_3, out_3), (shift_2, scale_2, out_2) = (
            branch.chunk(3, dim=-1) for branch in self.modulation(time)[:, None].chunk(3, dim=-1)
        )  # each (b, 1, e); the feed-forward's stand before the cross-attention's
        convolved = None if self.convolution is None else self.convolution(x, grid)
        x = x + out_1 * self.self_attention(modulate(x, scale_1, shift_1), rotation=rotation)
        x = x + out_2 * self.cross_attention(modulate(x, scale_2, shift_2), text, text_mask)
        x = x + out_3 * self.feed_forward(modulate(x, scale_3, shift_3))
        return x if convolved is None else x + convolved

    def reset_to_identity(self) -> None:
        """Make the block the identity; weights inside its branches are unchanged."""
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        if self.convolution is not None:
            self.convolution.reset_to_zero()


class FusedAttention(nn.Module):
    """Gated attention of a block: queries and gates are one linear layer, with keys and values or beside theirs.

    Args:
        width: Feature dimension; divides by `num_heads`.
        num_heads: Heads.
        text_width: Feature dimension of the text that keys and values come from, by a layer of their own; None for
            self-attention, whose one layer has queries, keys, values and gates, in this order.
        qk_norm: Normalise queries and keys of each head (RMS).
        gate: Whether the output is gated.
    """

    def __init__(self, width: int, num_heads: int, text_width: int | None, *, qk_norm: bool, gate: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.gated = gate
        self.fused = nn.Linear(width, ((3 if text_width is None else 1) + gate) * width)
        self.key_value = None if text_width is None else nn.Linear(text_width, 2 * width)
        self.query_norm = HeadNorm(width // num_heads, eps=NORM_EPS) if qk_norm else nn.Identity()
        self.key_norm = HeadNorm(width // num_heads, eps=NORM_EPS) if qk_norm else nn.Identity()
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "b n e"],
        text: Float[Tensor, "b m c"] | None = None,
        text_mask: Bool[Tensor, "b m"] | None = None,
        rotation: Float[Tensor, "2 n r"] | None = None,
    ) -> Float[Tensor, "b n e"]:
        width = x.shape[-1]
        parts = [*self.fused(x).split(width, -1)]
        if self.key_value is not None:
            parts[1:1] = self.key_value(text).split(width, -1)
        q, k, v, *gate = (split_heads(part, self.num_heads) for part in parts)
        q, k = self.query_norm(q), self.key_norm(k)  # (b, heads, n, d)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        mask = None if text_mask is None else text_mask[:, None, None, :]  # (b, 1, 1, m)
        y = attend(q, k, v, mask)
        if self.gated:
            y = y * torch.sigmoid(gate[0])
        return self.out(y.transpose(1, 2).flatten(2))
