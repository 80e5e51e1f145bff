"""Size-preserving blocks of the tokenizer: convolutions, residual blocks, attention.

All take and return (b, c, d, h, w). A *planar* block treats each slice as an image, including the statistics of its
group normalisation. A *causal* block sees earlier slices but no later ones: its front is padded with copies of the
first slice. In the plane every kernel is zero-padded. ``resampling.py`` has the blocks that change the size,
``layouts.py`` the arrangement.

**Memory order.** Where the weights lie channels last, convolutions return their output so, and every block keeps it:
padding and normalisation make no copy in another order. On CUDA PyTorch's group normalisation would, and under autocast
in float32; `normalise_in_order` takes its place there.

Source: PKU-YuanGroup/Open-Sora-Plan v1.2.0, opensora/models/causalvideovae (semantics and names, no code taken).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medsyn2.nn.attention import attend
from medsyn2.types import Float

NORM_EPS = 1e-6


def repeat_first_slice(
    x: Float[Tensor, "b c d h w"], copies: int, before: Float[Tensor, "b c copies h w"] | None = None
) -> Float[Tensor, "b c padded h w"]:
    """Prepend `copies` of the first slice, or the preceding slices `before` if they are given."""
    if before is not None:
        return torch.cat([before, x], dim=2)
    return torch.cat([x[:, :, :1]] * copies + [x], dim=2) if copies else x


class CausalConv3d(nn.Module):
    """3-D convolution that sees no later slice; its parameters are at ``conv``.

    Args:
        kernel: Kernel (depth, height, width).
        stride: Stride (depth, height, width).
        plane_padding: Zero padding of height and width.
        front_pad: Copies of the first slice in front; by default the kernel's depth less one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int, int] = (3, 3, 3),
        *,
        stride: tuple[int, int, int] = (1, 1, 1),
        plane_padding: int | None = None,
        front_pad: int | None = None,
    ) -> None:
        super().__init__()
        plane = kernel[1] // 2 if plane_padding is None else plane_padding
        self.front_pad = kernel[0] - 1 if front_pad is None else front_pad
        self.conv = nn.Conv3d(in_channels, out_channels, kernel, stride, padding=(0, plane, plane))

    def forward(
        self, x: Float[Tensor, "b c d h w"], before: Float[Tensor, "b c front h w"] | None = None
    ) -> Float[Tensor, "b out out_d out_h out_w"]:
        return self.conv(repeat_first_slice(x, self.front_pad, before))


class PlanarConv(nn.Conv2d):
    """2-D convolution of each slice, computed as a 3-D one with a kernel of depth 1."""

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b out d out_h out_w"]:
        kernel = self.weight.unsqueeze(2)  # (out, c, 1, k, k)
        return F.conv3d(x, kernel, self.bias, stride=(1, *self.stride), padding=(0, *self.padding))


def normalise_in_order(
    x: Float[Tensor, "b c *space"], num_groups: int, weight: Float[Tensor, " c"], bias: Float[Tensor, " c"], eps: float
) -> Float[Tensor, "b c *space"]:
    """Normalise as `torch.nn.functional.group_norm` does, in the memory order and the type of `x`.

    Statistics are of each channel first, then of groups, so that they are read in any order; all in float32 or better.
    """
    wide = (..., *[None] * (x.ndim - 2))
    with torch.autocast(x.device.type, enabled=False):
        mean, variance = (statistic.unflatten(1, (num_groups, -1)) for statistic in _channel_statistics(x))
        variance = variance.mean(-1) + mean.var(-1, correction=0)  # (b, groups)
        scale = (variance + eps).rsqrt()[..., None] * weight.unflatten(0, (num_groups, -1))  # (b, groups, c / groups)
        shift = bias - (mean.mean(-1, keepdim=True) * scale).flatten(1)  # (b, c)
        return torch.addcmul(shift[wide], x, scale.flatten(1)[wide]).to(x.dtype)


def _channel_statistics(x: Float[Tensor, "b c *space"]) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Return mean and variance of each channel; of 16 bits without a copy in 32."""
    space = tuple(range(2, x.ndim))
    if x.dtype.itemsize > 2:
        variance, mean = torch.var_mean(x, space, correction=0)
        return mean, variance
    mean = x.mean(space, dtype=torch.float32)
    squares = torch.linalg.vector_norm(x, dim=space, dtype=torch.float32).square() / x[0, 0].numel()
    return mean, (squares - mean.square()).clamp(min=0)


NORMALISATIONS = {"cuda": normalise_in_order}
"""Group normalisation by type of device; others have PyTorch's."""


class GroupNorm(nn.GroupNorm):
    """Group normalisation in the memory order of its input."""

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        normalise = NORMALISATIONS.get(x.device.type, F.group_norm)
        return normalise(x, self.num_groups, self.weight, self.bias, self.eps)


class PlanarGroupNorm(GroupNorm):
    """Group normalisation with separate statistics for each slice."""

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d h w"]:
        b, c, d, h, w = x.shape
        slices = x.transpose(1, 2).reshape(b * d, c, h, w)
        return super().forward(slices).reshape(b, d, c, h, w).transpose(1, 2)


ConvFactory = Callable[[int, int, int], nn.Module]
"""Makes a size-preserving convolution of (in_channels, out_channels, kernel size)."""


def causal_conv(in_channels: int, out_channels: int, kernel: int) -> nn.Module:
    """Return a causal convolution with a cubic kernel."""
    return CausalConv3d(in_channels, out_channels, (kernel, kernel, kernel))


def symmetric_conv(in_channels: int, out_channels: int, kernel: int) -> nn.Module:
    """Return a convolution with a cubic kernel, zero-padded on all sides."""
    return nn.Conv3d(in_channels, out_channels, kernel, padding=kernel // 2)


def planar_conv(in_channels: int, out_channels: int, kernel: int) -> nn.Module:
    """Return a 2-D convolution of each slice."""
    return PlanarConv(in_channels, out_channels, kernel, padding=kernel // 2)


class ResBlock(nn.Module):
    """Two rounds of normalisation, SiLU and convolution, added to the input."""

    def __init__(self, in_channels: int, out_channels: int, groups: int, conv: ConvFactory) -> None:
        super().__init__()
        norm = PlanarGroupNorm if conv is planar_conv else GroupNorm
        self.norm1 = norm(groups, in_channels, NORM_EPS)
        self.conv1 = conv(in_channels, out_channels, 3)
        self.norm2 = norm(groups, out_channels, NORM_EPS)
        self.conv2 = conv(out_channels, out_channels, 3)
        self.nin_shortcut = conv(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b out d h w"]:
        branch = self.conv1(F.silu(self.norm1(x)))
        branch = self.conv2(F.silu(self.norm2(branch)))
        shortcut = x if self.nin_shortcut is None else self.nin_shortcut(x)
        return shortcut + branch


class Attention(nn.Module):
    """Single-head attention among the voxels of a slice, added to the input.

    Args:
        channels: Channels, which are also the width of the head.
        conv: Makes the 1 x 1 x 1 convolutions.
        sliced: Attend within slices. Otherwise tokens are `channels` consecutive planes in memory order, which mixes
            channels and slices and depends on the window's depth; the authors' network was trained so.
    """

    def __init__(self, channels: int, groups: int, conv: ConvFactory, *, sliced: bool) -> None:
        super().__init__()
        self.sliced = sliced
        self.norm = GroupNorm(groups, channels, NORM_EPS)
        self.q = conv(channels, channels, 1)
        self.k = conv(channels, channels, 1)
        self.v = conv(channels, channels, 1)
        self.proj_out = conv(channels, channels, 1)

    def _tokens(self, x: Tensor) -> Tensor:
        b, c, d, h, w = x.shape
        slices = x.transpose(1, 2) if self.sliced else x
        return slices.reshape(b * d, 1, c, h * w).transpose(2, 3)  # (b d) 1 (h w) c

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d h w"]:
        b, c, d, h, w = x.shape
        normed = self.norm(x)
        query, key, value = (self._tokens(project(normed)) for project in (self.q, self.k, self.v))
        attended = attend(query, key, value)  # (b d) 1 (h w) c
        volume = attended.transpose(2, 3).reshape((b, d, c, h, w) if self.sliced else (b, c, d, h, w))
        return x + self.proj_out(volume.transpose(1, 2) if self.sliced else volume)
