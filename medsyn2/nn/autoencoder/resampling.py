"""Blocks of the tokenizer that halve or double depth and plane.

Kernels of stride 2 are zero-padded at the right and bottom only, as in the public weights' training. The depth modes
differ, without parameters, in the copies of the first slice in front of a kernel that halves depth (`front_pad`) and
in whether doubling leaves out the first slice (`first_frame`); ``tokenizer.py`` explains them. A kernel that halves
depth takes preceding slices instead of copies (`before`), so that a volume can pass slab by slab (``slabs.py``).

Source: PKU-YuanGroup/Open-Sora-Plan v1.2.0, opensora/models/causalvideovae (semantics and names, no code taken).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medsyn2.nn.autoencoder.blocks import CausalConv3d, PlanarConv, repeat_first_slice
from medsyn2.types import Float


def pad_right_bottom(x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d padded_h padded_w"]:
    """Zero-pad one voxel at the end of each in-plane axis."""
    return F.pad(x, (0, 1, 0, 1))


class PlaneDown(nn.Module):
    """Halve height and width with a 2-D kernel (`planar`) or a 3-D kernel of depth 1."""

    def __init__(self, channels: int, *, planar: bool, causal: bool) -> None:
        super().__init__()
        if planar:
            self.conv: nn.Module = PlanarConv(channels, channels, 3, stride=2)
        elif causal:
            self.conv = CausalConv3d(channels, channels, (1, 3, 3), stride=(1, 2, 2), plane_padding=0)
        else:
            self.conv = nn.Conv3d(channels, channels, (1, 3, 3), (1, 2, 2))

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d half_h half_w"]:
        return self.conv(pad_right_bottom(x))


class VolumeDown(nn.Module):
    """Halve depth, height and width in one convolution."""

    def __init__(self, channels: int, front_pad: int) -> None:
        super().__init__()
        self.front_pad = front_pad
        self.conv = CausalConv3d(channels, channels, (3, 3, 3), stride=(2, 2, 2), plane_padding=0, front_pad=front_pad)

    def forward(
        self, x: Float[Tensor, "b c d h w"], before: Float[Tensor, "b c front h w"] | None = None
    ) -> Float[Tensor, "b c half_d half_h half_w"]:
        return self.conv(pad_right_bottom(x), None if before is None else pad_right_bottom(before))


class DepthPool(nn.Module):
    """Halve depth by averaging three slices; no parameters."""

    def __init__(self, front_pad: int) -> None:
        super().__init__()
        self.front_pad = front_pad

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c half_d h w"]:
        return F.avg_pool3d(repeat_first_slice(x, self.front_pad), (3, 1, 1), (2, 1, 1))


def mix(
    convolved: Float[Tensor, "b c d h w"], plain: Float[Tensor, "b c d h w"], share: Float[Tensor, " 1"]
) -> Float[Tensor, "b c d h w"]:
    """Mix `share` of `plain` into `convolved`, in the type of the share, as under autocast all types differ."""
    return torch.lerp(convolved.to(share.dtype), plain.to(share.dtype), share)


class DepthMixDown(nn.Module):
    """Halve depth by a learned mixture of the average and a convolution."""

    def __init__(self, channels: int, front_pad: int) -> None:
        super().__init__()
        self.front_pad = front_pad
        self.mix_factor = nn.Parameter(torch.tensor([2.0]))
        self.conv = nn.Conv3d(channels, channels, 3, (2, 1, 1), padding=(0, 1, 1))

    def forward(
        self, x: Float[Tensor, "b c d h w"], before: Float[Tensor, "b c front h w"] | None = None
    ) -> Float[Tensor, "b c half_d h w"]:
        padded = repeat_first_slice(x, self.front_pad, before)
        average = F.avg_pool3d(padded, (3, 1, 1), (2, 1, 1))
        return mix(self.conv(padded), average, self.mix_factor.sigmoid())


def double(x: Float[Tensor, "b c d h w"], *, plane: int, first_frame: bool) -> Float[Tensor, "b c out_d out_h out_w"]:
    """Double depth by linear interpolation, and scale the plane by `plane`.

    Args:
        first_frame: Keep the first slice single, as a video's first frame: d slices become 2d - 1.
    """

    def scale(part: Tensor, depth: int) -> Tensor:
        if depth == plane == 1:
            return part
        # CUDA's autocast would interpolate in float32, and make the largest tensor of the network twice as large.
        with torch.autocast(part.device.type, enabled=False):
            return F.interpolate(part, scale_factor=(depth, plane, plane), mode="trilinear", align_corners=False)

    if not first_frame:
        return scale(x, 2)
    first, rest = x[:, :, :1], x[:, :, 1:]
    if not rest.shape[2]:
        return scale(first, 1)
    return torch.cat([scale(first, 1), scale(rest, 2)], dim=2)


class PlaneUp(nn.Module):
    """Double height and width by repetition, then convolve within the slice if `convolve`."""

    def __init__(self, channels: int, *, convolve: bool) -> None:
        super().__init__()
        self.conv = CausalConv3d(channels, channels, (1, 3, 3)) if convolve else None

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d twice_h twice_w"]:
        doubled = F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest")
        return doubled if self.conv is None else self.conv(doubled)


class VolumeUp(nn.Module):
    """Double depth, height and width by interpolation, then convolve."""

    def __init__(self, channels: int, *, first_frame: bool) -> None:
        super().__init__()
        self.first_frame = first_frame
        self.conv = CausalConv3d(channels, channels)

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c out_d twice_h twice_w"]:
        return self.conv(double(x, plane=2, first_frame=self.first_frame))


class SubvoxelUp(nn.Module):
    """Double height and width, and depth if `depth` is 2, with a kernel of its own for each voxel that is made.

    Channel (c, i, j, k) of the convolution, in this order, is channel c of the voxel (i, j, k) of a block.
    """

    def __init__(self, channels: int, *, depth: int, first_frame: bool) -> None:
        super().__init__()
        self.block = (depth, 2, 2)
        self.lead = depth - 1 if first_frame else 0  # the first frame is the last slice of its block
        self.conv = CausalConv3d(channels, channels * depth * 4)

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c out_d twice_h twice_w"]:
        made = self.conv(x).unflatten(1, (-1, *self.block))  # (b, c, i, j, k, d, h, w)
        doubled = made.permute(0, 1, 5, 2, 6, 3, 7, 4).flatten(6, 7).flatten(4, 5).flatten(2, 3)
        return doubled[:, :, self.lead :]


class DepthLinearUp(nn.Module):
    """Double depth by interpolation; no parameters."""

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c twice_d h w"]:
        return double(x, plane=1, first_frame=False)


class DepthMixUp(nn.Module):
    """Double depth by interpolation, then mix in a convolution of the result."""

    def __init__(self, channels: int, *, first_frame: bool) -> None:
        super().__init__()
        self.first_frame = first_frame
        self.mix_factor = nn.Parameter(torch.tensor([2.0]))
        self.conv = CausalConv3d(channels, channels)

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c out_d h w"]:
        doubled = double(x, plane=1, first_frame=self.first_frame)
        return mix(self.conv(doubled), doubled, self.mix_factor.sigmoid())
