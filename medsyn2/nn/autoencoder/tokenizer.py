"""The CT tokenizer: Open-Sora Plan's CausalVideoVAE, with depth in the place of time.

The encoder compresses (depth, height, width) by (4, 8, 8) into a Gaussian over `latent_channels` channels; the decoder
inverts it. Images in [-1, 1] and masks at -0.5 and 0.5 use the same network. The public weights have three image
channels, so `CausalVideoVAE` repeats a CT's channel on the way in and averages on the way out; parameters keep their
published names and shapes.

**Depth modes.** Upstream treats the first frame of a video apart: 4k + 1 slices become k + 1 latents and 4k + 1
slices again (`first_frame`). A CT has no first frame. The paper doubles all slices in the decoder, so that 4k slices
become k latents and 4k slices (`uniform_paper`); but then the encoder never sees the last three slices, and public
weights decode three slices late until fine-tuned. `uniform_aligned` repeats the first slice once instead of twice
where depth is halved: latent j sees slices up to 4j + 3, nothing is unseen, and public weights stay aligned. The
parameters are the same in all three.

**Precision.** The last normalisation and convolutions of encoder and decoder run in the precision of the parameters,
also under autocast: bfloat16 would quantise the output to steps of up to 8 HU, and latents to 0.4 % of their value.

Source: Paper, sections 3.1 and 7.1; Lin et al., Open-Sora Plan (arXiv:2412.00131).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medsyn2.errors import ConfigError
from medsyn2.nn.autoencoder.blocks import (
    NORM_EPS,
    Attention,
    ConvFactory,
    GroupNorm,
    ResBlock,
    causal_conv,
    planar_conv,
    symmetric_conv,
)
from medsyn2.nn.autoencoder.layouts import LAYOUTS, DepthMode, Layout, LayoutName
from medsyn2.nn.autoencoder.resampling import (
    DepthLinearUp,
    DepthMixDown,
    DepthMixUp,
    DepthPool,
    PlaneDown,
    PlaneUp,
    SubvoxelUp,
    VolumeDown,
    VolumeUp,
)
from medsyn2.types import Float
from medsyn2.vocabulary import MIN_SUBVOXEL_CHANNELS

SCALE = (4, 8, 8)
"""Voxels per latent along (depth, height, width)."""
IMAGE_CHANNELS = 3
LOGVAR_RANGE = (-30.0, 20.0)

Size = tuple[int, int, int]


@dataclass(frozen=True)
class Posterior:
    """Distribution of the latents given an image: independent Gaussians."""

    mean: Float[Tensor, "b z ld lh lw"]  # Means
    logvar: Float[Tensor, "b z ld lh lw"]  # Logarithms of the variances, within `LOGVAR_RANGE`

    @classmethod
    def from_moments(cls, moments: Float[Tensor, "b two_z ld lh lw"]) -> "Posterior":
        """Split the encoder's output into means and log-variances."""
        mean, logvar = moments.chunk(2, dim=1)
        return cls(mean, logvar.clamp(*LOGVAR_RANGE))

    def mode(self) -> Float[Tensor, "b z ld lh lw"]:
        """Return the most probable latents: the means."""
        return self.mean

    def sample(self, generator: torch.Generator) -> Float[Tensor, "b z ld lh lw"]:
        """Draw latents. Noise comes from the generator's device, so that a seed gives the same draw everywhere."""
        noise = torch.randn(self.mean.shape, generator=generator, device=generator.device, dtype=self.mean.dtype)
        return self.mean + torch.exp(0.5 * self.logvar) * noise.to(self.mean.device)

    def kl(self) -> Float[Tensor, "b z ld lh lw"]:
        """Return each element's Kullback-Leibler divergence from the standard normal, in nats."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1.0 - self.logvar)


class EncoderLevel(nn.Module):
    """Residual blocks at one resolution, then halving."""

    def __init__(self, blocks: Sequence[nn.Module], down: nn.Module | None, depth_down: nn.Module | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        self.downsample = down
        self.time_downsample = depth_down

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b out out_d out_h out_w"]:
        for block in self.block:
            x = block(x)
        if self.downsample is not None:
            x = self.downsample(x)
        return x if self.time_downsample is None else self.time_downsample(x)


class DecoderLevel(nn.Module):
    """Residual blocks at one resolution, then doubling."""

    def __init__(self, blocks: Sequence[nn.Module], up: nn.Module | None, depth_up: nn.Module | None) -> None:
        super().__init__()
        self.block = nn.ModuleList(blocks)
        self.upsample = up
        self.time_upsample = depth_up

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b out out_d out_h out_w"]:
        for block in self.block:
            x = block(x)
        if self.upsample is not None:
            x = self.upsample(x)
        return x if self.time_upsample is None else self.time_upsample(x)


class Middle(nn.Module):
    """Residual block, attention, residual block, at the lowest resolution."""

    def __init__(self, channels: int, groups: int, conv: ConvFactory, *, sliced_attention: bool) -> None:
        super().__init__()
        self.block_1 = ResBlock(channels, channels, groups, conv)
        self.attn_1 = Attention(channels, groups, conv, sliced=sliced_attention)
        self.block_2 = ResBlock(channels, channels, groups, conv)

    def forward(self, x: Float[Tensor, "b c d h w"]) -> Float[Tensor, "b c d h w"]:
        return self.block_2(self.attn_1(self.block_1(x)))


@dataclass(frozen=True)
class _Plan:
    """Sizes and layout of encoder and decoder."""

    widths: tuple[int, ...]
    num_res_blocks: int
    latent_channels: int
    groups: int
    depth_mode: DepthMode
    layout: Layout

    @property
    def conv(self) -> ConvFactory:
        return causal_conv if self.layout.causal else symmetric_conv


class Encoder(nn.Module):
    """Map three-channel volumes to the moments of the latents, before `quant_conv`."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        layout, widths, deepest = plan.layout, plan.widths, plan.widths[-1]
        conv_in = planar_conv if layout.planar_levels else plan.conv
        self.conv_in = conv_in(IMAGE_CHANNELS, widths[0], 3)
        self.down = nn.ModuleList(_encoder_level(plan, level) for level in range(len(widths)))
        self.mid = Middle(deepest, plan.groups, plan.conv, sliced_attention=layout.sliced_attention)
        self.norm_out = GroupNorm(plan.groups, deepest, NORM_EPS)
        self.conv_out = plan.conv(deepest, 2 * plan.latent_channels, 3)
        self.planar_levels = layout.planar_levels

    def forward(self, x: Float[Tensor, "b 3 d h w"]) -> Float[Tensor, "b two_z ld lh lw"]:
        return self.deep(self.conv_in(x), first_level=0)

    def deep(self, x: Float[Tensor, "b c d h w"], first_level: int) -> Float[Tensor, "b two_z ld lh lw"]:
        """Run the levels from `first_level` on."""
        for level in self.down[first_level:]:
            x = level(x)
        x = self.mid(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.conv_out(F.silu(self.norm_out(x.to(next(self.parameters()).dtype))))


class Decoder(nn.Module):
    """Map latents, after `post_quant_conv`, to three-channel volumes."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        layout, widths, deepest = plan.layout, plan.widths, plan.widths[-1]
        self.conv_in = plan.conv(plan.latent_channels, deepest, 3)
        self.mid = Middle(deepest, plan.groups, plan.conv, sliced_attention=layout.sliced_attention)
        self.up = nn.ModuleList(_decoder_level(plan, level) for level in range(len(widths)))
        self.norm_out = GroupNorm(plan.groups, widths[0], NORM_EPS)
        self.conv_out = plan.conv(widths[0], IMAGE_CHANNELS, 3)

    def forward(self, latents: Float[Tensor, "b z ld lh lw"]) -> Float[Tensor, "b 3 d h w"]:
        x = self.mid(self.conv_in(latents))
        for level in reversed(self.up):
            x = level(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.conv_out(F.silu(self.norm_out(x.to(next(self.parameters()).dtype))))


def _encoder_level(plan: _Plan, level: int) -> EncoderLevel:
    layout, out_channels = plan.layout, plan.widths[level]
    conv = planar_conv if level < layout.planar_levels else plan.conv
    channels = [plan.widths[max(level - 1, 0)]] + [out_channels] * plan.num_res_blocks
    blocks = [ResBlock(a, b, plan.groups, conv) for a, b in pairwise(channels)]
    if level == len(plan.widths) - 1:
        return EncoderLevel(blocks, None, None)
    plane, depth = layout.down[level]
    front_pad = 1 if plan.depth_mode == "uniform_aligned" else 2
    down = (
        VolumeDown(out_channels, front_pad)
        if plane == "volume"
        else PlaneDown(out_channels, planar=plane == "planar", causal=layout.causal)
    )
    if depth == "none":
        return EncoderLevel(blocks, down, None)
    return EncoderLevel(
        blocks, down, DepthPool(front_pad) if depth == "pool" else DepthMixDown(out_channels, front_pad)
    )


def _decoder_level(plan: _Plan, level: int) -> DecoderLevel:
    out_channels, last = plan.widths[level], len(plan.widths) - 1
    channels = [plan.widths[min(level + 1, last)]] + [out_channels] * (plan.num_res_blocks + 1)
    blocks = [ResBlock(a, b, plan.groups, plan.conv) for a, b in pairwise(channels)]
    if level == 0:
        return DecoderLevel(blocks, None, None)
    plane, depth = plan.layout.up[last - level]
    first_frame = plan.depth_mode == "first_frame"
    up: nn.Module
    if plane in ("own_plane", "own_volume"):
        up = SubvoxelUp(out_channels, depth=2 if plane == "own_volume" else 1, first_frame=first_frame)
    elif plane == "volume":
        up = VolumeUp(out_channels, first_frame=first_frame)
    else:
        up = PlaneUp(out_channels, convolve=plane == "plane")
    if depth == "none":
        return DecoderLevel(blocks, up, None)
    return DecoderLevel(
        blocks, up, DepthLinearUp() if depth == "linear" else DepthMixUp(out_channels, first_frame=first_frame)
    )


class CausalVideoVAE(nn.Module):
    """The tokenizer.

    With the default sizes and the layout ``v1.2`` it has 239,189,991 parameters, those of Open-Sora Plan's public
    weights.

    Args:
        hidden_channels: Channels of the first level.
        channel_multipliers: Channels of the four levels, in multiples of `hidden_channels`.
        num_res_blocks: Residual blocks of an encoder level; a decoder level has one more.
        norm_groups: Groups of the group normalisation; divides the channels of every level.

    Attributes:
        config: The arguments, from which an equal network is built.

    Raises:
        ConfigError: If `norm_groups` does not divide the channels, the layout has no such depth mode, or needs more
            channels.
    """

    def __init__(
        self,
        hidden_channels: int = 128,
        channel_multipliers: Sequence[int] = (1, 2, 4, 4),
        num_res_blocks: int = 2,
        latent_channels: int = 4,
        norm_groups: int = 32,
        depth_mode: DepthMode = "uniform_aligned",
        layout: LayoutName = "v1.2",
    ) -> None:
        super().__init__()
        self.config = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        widths = tuple(hidden_channels * multiplier for multiplier in channel_multipliers)
        _check_configuration(widths, norm_groups, depth_mode, layout)
        plan = _Plan(widths, num_res_blocks, latent_channels, norm_groups, depth_mode, LAYOUTS[layout])
        self.depth_mode: DepthMode = depth_mode
        self.latent_channels = latent_channels
        self.encoder = Encoder(plan)
        self.decoder = Decoder(plan)
        self.quant_conv = plan.conv(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = plan.conv(latent_channels, latent_channels, 1)

    def latent_shape(self, shape: Sequence[int]) -> Size:
        """Return the shape (depth, height, width) of the latents of a volume of `shape`.

        Raises:
            ConfigError: If the volume would not come back in the same shape.
        """
        depth, height, width = shape
        lead = int(self.depth_mode == "first_frame")
        if min(shape) < 1 or (depth - lead) % SCALE[0] or height % SCALE[1] or width % SCALE[2]:
            wanted = f"{SCALE[0]}k + 1" if lead else f"a multiple of {SCALE[0]}"
            raise ConfigError(
                f"The tokenizer in depth mode {self.depth_mode} takes volumes whose depth is {wanted} and "
                f"whose height and width are multiples of {SCALE[1]}, got {tuple(shape)}.",
                code="tokenizer-shape",
                remedy="choose grid.shape, train_tokenizer.crop_shape and encode_latents.window accordingly.",
            )
        return (depth - lead) // SCALE[0] + lead, height // SCALE[1], width // SCALE[2]

    def volume_shape(self, latent_shape: Sequence[int]) -> Size:
        """Return the shape (depth, height, width) that latents of `latent_shape` decode to."""
        depth, height, width = latent_shape
        lead = int(self.depth_mode == "first_frame")
        return SCALE[0] * (depth - lead) + lead, SCALE[1] * height, SCALE[2] * width

    def moments(self, ct: Float[Tensor, "b 1 d h w"]) -> Float[Tensor, "b two_z ld lh lw"]:
        """Return means and log-variances, concatenated along the channels and not clamped."""
        self.latent_shape(ct.shape[2:])
        images = ct.expand(-1, IMAGE_CHANNELS, -1, -1, -1)  # (b, 3, d, h, w)
        return self.moments_of(self.encoder(images))

    def moments_of(self, encoded: Float[Tensor, "b two_z ld lh lw"]) -> Float[Tensor, "b two_z ld lh lw"]:
        """Return the moments of the encoder's output."""
        with torch.autocast(encoded.device.type, enabled=False):
            return self.quant_conv(encoded)

    def encode(self, ct: Float[Tensor, "b 1 d h w"]) -> Posterior:
        """Encode images in [-1, 1], or masks at -0.5 and 0.5.

        Raises:
            ConfigError: If the tokenizer cannot compress the shape.
        """
        return Posterior.from_moments(self.moments(ct))

    def decode(self, latents: Float[Tensor, "b z ld lh lw"]) -> Float[Tensor, "b 1 d h w"]:
        """Decode raw latents (without z-norm) to an image in about [-1, 1]."""
        images = self.decoder(self.post_quant_conv(latents))  # (b, 3, d, h, w)
        return images.mean(dim=1, keepdim=True)

    def forward(
        self, ct: Float[Tensor, "b 1 d h w"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "b 1 d h w"], Float[Tensor, "b two_z ld lh lw"]]:
        """Encode, draw latents and decode in one call, so that wrappers for training see all parameters.

        Returns:
            The reconstruction, and the moments of the latents.
        """
        moments = self.moments(ct)
        return self.decode(Posterior.from_moments(moments).sample(generator)), moments

    @property
    def last_layer(self) -> nn.Parameter:
        """Kernel of the decoder's last convolution, where gradients of losses are compared."""
        return next(self.decoder.conv_out.parameters())


def _check_configuration(widths: Sequence[int], groups: int, depth_mode: DepthMode, layout: LayoutName) -> None:
    if any(width % groups for width in widths):
        raise ConfigError(
            f"tokenizer.norm_groups must divide the channels of all levels, got {groups} for {tuple(widths)}.",
            code="tokenizer-groups",
            remedy="choose tokenizer.hidden_channels as a multiple of tokenizer.norm_groups.",
        )
    if layout == "subvoxel" and min(widths) < MIN_SUBVOXEL_CHANNELS:
        raise ConfigError(
            f"The tokenizer layout subvoxel needs {MIN_SUBVOXEL_CHANNELS} channels in each level, got {tuple(widths)}.",
            code="tokenizer-narrow",
            remedy="choose a larger tokenizer.hidden_channels, or another layout.",
        )
    if not LAYOUTS[layout].causal and depth_mode != "uniform_paper":
        raise ConfigError(
            f"The tokenizer layout {layout} has one depth mode only, uniform_paper, got {depth_mode}.",
            code="tokenizer-depth-mode",
            remedy="set tokenizer.depth_mode to uniform_paper, or choose another layout.",
        )
