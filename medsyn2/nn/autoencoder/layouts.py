"""The layouts of the tokenizer, as a table.

A layout and the sizes fix the name and shape of every parameter, so that public weights load strictly without a map
of names.

* ``v1.2`` and ``v1.1`` are Open-Sora Plan's releases. Their first two encoder levels work on single slices; v1.2
  halves depth and plane in one convolution, v1.1 one after the other.
* ``official`` is the release of MedSyn2's authors: Open-Sora Plan's v1.0 topology with symmetric zero padding instead
  of causal padding, no convolutions after upsampling, and v1.0's attention, which mixes channels and slices. It has
  one depth mode only.
* ``subvoxel`` is ours, for small tokenizers trained from scratch: v1.2's encoder, and a decoder that computes each of
  the voxels that a step doubles with a kernel of its own, where the others interpolate and then convolve. What is
  interpolated has no part at the finest scale, and eight channels do not bring it back.

Source: PKU-YuanGroup/Open-Sora-Plan, tags v1.1.0 and v1.2.0; batmanlab/MedSynV2 (layout read, no code taken);
Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Network (arXiv:1609.05158).
"""

from dataclasses import dataclass
from typing import Literal

DepthMode = Literal["uniform_aligned", "uniform_paper", "first_frame"]
LayoutName = Literal["v1.2", "v1.1", "official", "subvoxel"]

PlaneDown = Literal["planar", "plane", "volume"]
"""``planar``: 2-D convolution; ``plane``: 3-D with a flat kernel; ``volume``: depth is halved as well."""
DepthDown = Literal["none", "pool", "mixed"]
"""``pool``: average; ``mixed``: learned mixture of average and convolution."""
PlaneUp = Literal["nearest", "plane", "volume", "own_plane", "own_volume"]
"""``nearest``: no convolution; ``plane``: nearest and a flat kernel; ``volume``: depth is doubled as well, by
interpolation; ``own_plane`` and ``own_volume``: each voxel by its own kernel."""
DepthUp = Literal["none", "linear", "mixed"]
"""``linear``: interpolation; ``mixed``: learned mixture of interpolation and convolution."""


@dataclass(frozen=True)
class Layout:
    """One row of the table."""

    causal: bool  # Convolutions look back in depth only; their parameters have an extra ``.conv``
    planar_levels: int  # Number of first encoder levels with 2-D residual blocks
    down: tuple[tuple[PlaneDown, DepthDown], ...]  # Halving of plane and depth after encoder levels 0, 1, 2
    # Doubling of plane and depth after decoder levels 3, 2, 1, in running order
    up: tuple[tuple[PlaneUp, DepthUp], ...]
    sliced_attention: bool  # Attention stays within a slice; otherwise v1.0's, see `Attention`


LAYOUTS: dict[LayoutName, Layout] = {
    "v1.2": Layout(
        causal=True,
        planar_levels=2,
        down=(("planar", "none"), ("volume", "none"), ("volume", "none")),
        up=(("volume", "none"), ("volume", "none"), ("plane", "none")),
        sliced_attention=True,
    ),
    "v1.1": Layout(
        causal=True,
        planar_levels=2,
        down=(("planar", "none"), ("planar", "mixed"), ("planar", "mixed")),
        up=(("plane", "mixed"), ("plane", "mixed"), ("plane", "none")),
        sliced_attention=True,
    ),
    "official": Layout(
        causal=False,
        planar_levels=0,
        down=(("plane", "none"), ("plane", "pool"), ("plane", "pool")),
        up=(("nearest", "linear"), ("nearest", "linear"), ("nearest", "none")),
        sliced_attention=False,
    ),
    "subvoxel": Layout(
        causal=True,
        planar_levels=2,
        down=(("planar", "none"), ("volume", "none"), ("volume", "none")),
        up=(("own_volume", "none"), ("own_volume", "none"), ("own_plane", "none")),
        sliced_attention=True,
    ),
}
