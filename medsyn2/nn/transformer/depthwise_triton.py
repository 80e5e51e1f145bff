"""Triton kernels of the depthwise 3 x 3 x 3 convolution of the token grid, and of its gradients.

Tokens are rows of channels, in the order (depth, height, width), so that a neighbour of row n is row
n + (i height + j) width + k. A program holds a tile of rows and channels, reads its 27 neighbouring tiles, of which
almost all bytes are in the caches, and adds them in float32: the tokens are read from memory about once and written
once. The gradient of the input is the same kernel with the taps in reverse order.

The gradient of a tap is a sum over all rows. A program sums a chunk of rows for three taps along the width, element by
element, and adds up its rows at the end; the sums of chunks are added by PyTorch. No two programs write to one place:
the result does not depend on the order in which they run.

This module imports Triton; ``depthwise.py`` imports it where it is chosen. Nothing in it is particular to one device:
with ``TRITON_INTERPRET=1`` it runs on a CPU, slowly.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS, CHANNELS = 64, 64
"""Tile of the convolution: 16 KiB of sums, and rows of 128 bytes in 16 bits, one cache line."""
WARPS = 8
"""Warps of a program of the convolution: for Hopper a thread then takes 78 registers, and a processor has 24 warps."""
GRADIENT_ROWS = 32
"""Rows of a tile of the gradient, which holds three such sums."""
TILES = 32
"""Most tiles that a program of the gradient sums."""


@triton.jit  # type: ignore[untyped-decorator]
def _correlate_kernel(  # type: ignore[no-untyped-def]
    x, taps, bias, y, num_rows, depth, height, width, num_channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Write one tile of the convolution."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < num_channels
    w, h, d = row % width, row // width % height, row // (width * height) % depth
    place = row.to(tl.int64)[:, None] * num_channels + channel[None, :]
    total = tl.zeros((ROWS, CHANNELS), tl.float32) + tl.load(bias + channel, known, 0.0).to(tl.float32)[None, :]
    for line in range(9):  # not unrolled: the loads of 27 taps at once take more registers than there are
        i, j = line // 3 - 1, line % 3 - 1
        inside = (row < num_rows) & (d + i >= 0) & (d + i < depth) & (h + j >= 0) & (h + j < height)
        neighbour = place + (i * height + j) * width * num_channels
        for k in tl.static_range(-1, 2):
            here = inside & (w + k >= 0) & (w + k < width)
            values = tl.load(x + neighbour + k * num_channels, here[:, None] & known[None, :], 0.0)
            factors = tl.load(taps + (line * 3 + k + 1) * num_channels + channel, known, 0.0)
            total += values.to(tl.float32) * factors[None, :]
    tl.store(y + place, total.to(y.dtype.element_ty), (row < num_rows)[:, None] & known[None, :])


@triton.jit  # type: ignore[untyped-decorator]
def _gradient_kernel(  # type: ignore[no-untyped-def]
    gradient,
    x,
    sums,
    num_rows,
    depth,
    height,
    width,
    num_channels,
    num_tiles,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Write the sums of one chunk of rows for three taps: all along the width, at one offset of depth and height."""
    line, chunk = tl.program_id(0), tl.program_id(2)
    i, j = line // 3 - 1, line % 3 - 1
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < num_channels
    before = tl.zeros((ROWS, CHANNELS), tl.float32)
    here = tl.zeros((ROWS, CHANNELS), tl.float32)
    after = tl.zeros((ROWS, CHANNELS), tl.float32)
    for tile in range(num_tiles):
        row = (chunk * num_tiles + tile) * ROWS + tl.arange(0, ROWS)
        w, h, d = row % width, row // width % height, row // (width * height) % depth
        inside = (row < num_rows) & (d + i >= 0) & (d + i < depth) & (h + j >= 0) & (h + j < height)
        mask = inside[:, None] & known[None, :]
        place = row.to(tl.int64)[:, None] * num_channels + channel[None, :]
        slope = tl.load(gradient + place, mask, 0.0).to(tl.float32)
        neighbour = place + ((i * height + j) * width).to(tl.int64) * num_channels
        before += slope * tl.load(x + neighbour - num_channels, mask & (w > 0)[:, None], 0.0).to(tl.float32)
        here += slope * tl.load(x + neighbour, mask, 0.0).to(tl.float32)
        after += slope * tl.load(x + neighbour + num_channels, mask & (w < width - 1)[:, None], 0.0).to(tl.float32)
    place = sums + (chunk * 27 + line * 3) * num_channels + channel
    tl.store(place, tl.sum(before, 0), known)
    tl.store(place + num_channels, tl.sum(here, 0), known)
    tl.store(place + 2 * num_channels, tl.sum(after, 0), known)


@torch.library.custom_op("medsyn2::correlate_tokens", mutates_args=())
def correlate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve a grid of tokens (b, ld, lh, lw, e) with kernels (e, 1, 3, 3, 3), and add the biases."""
    x = x.contiguous()
    y = torch.empty_like(x)
    num_channels, num_rows = x.shape[-1], x[..., 0].numel()
    taps = weight.reshape(num_channels, 27).T.contiguous().float()
    tiles = (triton.cdiv(num_rows, ROWS), triton.cdiv(num_channels, CHANNELS))
    with torch.cuda.device_of(x):
        _correlate_kernel[tiles](
            *(x, taps, bias, y, num_rows, *x.shape[1:]), ROWS=ROWS, CHANNELS=CHANNELS, num_warps=WARPS
        )
    return y


@correlate.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("medsyn2::correlate_tokens_weight_gradient", mutates_args=())
def weight_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of the kernels (e, 1, 3, 3, 3), in float32."""
    gradient, x = gradient.contiguous(), x.contiguous()
    num_channels, num_rows = x.shape[-1], x[..., 0].numel()
    num_tiles = triton.cdiv(num_rows, GRADIENT_ROWS)
    chunks = triton.cdiv(num_tiles, TILES)
    sums = x.new_empty((chunks, 27, num_channels), dtype=torch.float32)
    with torch.cuda.device_of(x):
        _gradient_kernel[(9, triton.cdiv(num_channels, CHANNELS), chunks)](
            *(gradient, x, sums, num_rows, *x.shape[1:], min(TILES, num_tiles)), ROWS=GRADIENT_ROWS, CHANNELS=CHANNELS
        )
    return sums.sum(0).T.reshape(num_channels, 1, 3, 3, 3).contiguous()


@weight_gradient.register_fake
def _(gradient: Tensor, x: Tensor) -> Tensor:
    return x.new_empty((x.shape[-1], 1, 3, 3, 3), dtype=torch.float32)


def _keep_inputs(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    x, weight, bias = ctx.saved_tensors
    of_x, of_weight, of_bias = ctx.needs_input_grad
    return (
        correlate(gradient, weight.flip(2, 3, 4), torch.zeros_like(bias)) if of_x else None,
        weight_gradient(gradient, x).to(weight.dtype) if of_weight else None,
        gradient.sum((0, 1, 2, 3), dtype=torch.float32).to(bias.dtype) if of_bias else None,
    )


correlate.register_autograd(_gradients, setup_context=_keep_inputs)
