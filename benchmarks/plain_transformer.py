"""The paper's transformer written down, for ``transformer.py`` to measure against.

PyTorch's own modules in the order of the paper's equations: one matrix each for queries, keys, values and gates,
convolutions over volumes, attention's default kernel, padded texts under a mask, nothing compiled or recomputed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medsyn2.nn.transformer.dit import DiT
from medsyn2.nn.transformer.layers import positions


class PlainAttention(nn.Module):
    """Equation 2: one matrix each for queries, keys, values and gates."""

    def __init__(self, width: int, context: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(context, width), nn.Linear(context, width)
        self.g, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

        y = F.scaled_dot_product_attention(heads(self.q(x)), heads(self.k(context)), heads(self.v(context)), mask)
        return self.o((torch.sigmoid(heads(self.g(x))) * y).transpose(1, 2).flatten(2))


class PlainBlock(nn.Module):
    """Equation 2: attention, attention to the text, feed-forward, convolution."""

    def __init__(self, width: int, text_width: int, num_heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, 1e-6, elementwise_affine=False) for _ in range(3))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 9 * width))
        self.self_attention = PlainAttention(width, width, num_heads)
        self.cross_attention = PlainAttention(width, text_width, num_heads)
        self.ffn = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.conv = nn.Sequential(nn.Conv3d(width, width, 3, padding=1, groups=width), nn.Conv3d(width, width, 1))

    def forward(self, x: Tensor, time: Tensor, text: Tensor, mask: Tensor, grid: tuple[int, int, int]) -> Tensor:
        m = self.modulation(time)[:, None].chunk(9, dim=-1)
        y = self.norms[0](x) * (1 + m[0]) + m[1]
        x = x + m[2] * self.self_attention(y, y, None)
        x = x + m[5] * self.cross_attention(self.norms[1](x) * (1 + m[3]) + m[4], text, mask)
        x = x + m[8] * self.ffn(self.norms[2](x) * (1 + m[6]) + m[7])
        volume = x.transpose(1, 2).unflatten(2, grid).contiguous()
        return self.conv(volume).flatten(2).transpose(1, 2)


class Plain(nn.Module):
    """The paper's transformer, written down."""

    def __init__(self, width: int, depth: int, num_heads: int, text_width: int) -> None:
        super().__init__()
        self.patchify = nn.Conv3d(8, width, 2, stride=2)
        self.time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(PlainBlock(width, text_width, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6, elementwise_affine=False)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.final = nn.Linear(width, 32)

    def forward(self, latents: Tensor, t: Tensor, mask_latents: Tensor, text: Tensor, real: Tensor) -> Tensor:
        x = self.patchify(torch.cat((latents, mask_latents), dim=1))
        grid = (x.shape[2], x.shape[3], x.shape[4])
        x = x.flatten(2).transpose(1, 2)
        x = x + positions(grid, x.shape[2], x.device)
        frequencies = torch.exp(-9.210340371976184 * torch.arange(128, device=t.device) / 128)
        angle = 1000 * t[:, None] * frequencies
        time = self.time(torch.cat((angle.cos(), angle.sin()), dim=1))
        for block in self.blocks:
            x = block(x, time, text, real[:, None, None, :], grid)
        shift, scale = self.modulation(time)[:, None].chunk(2, dim=-1)
        x = self.final(self.norm(x) * (1 + scale) + shift)
        x = x.unflatten(1, grid).unflatten(-1, (2, 2, 2, 4)).permute(0, 7, 1, 4, 2, 5, 3, 6)
        return x.reshape(latents.shape).to(latents.dtype)

    @torch.no_grad()
    def copy_from(self, dit: DiT) -> None:
        """Take the weights of the package's network in the layout ``paper``."""

        def copy(ours: nn.Module, theirs: nn.Module) -> None:
            for parameter, source in zip(ours.parameters(), theirs.parameters(), strict=True):
                parameter.copy_(source.reshape(parameter.shape))

        patches = dit.patch_embedding.weight.unflatten(1, (2, 2, 2, 8)).movedim(-1, 1)
        self.patchify.weight.copy_(patches)
        self.patchify.bias.copy_(dit.patch_embedding.bias)
        copy(self.time, dit.time_embedding)
        copy(self.modulation, dit.final_modulation)
        copy(self.final, dit.final)
        for mine, block in zip(self.blocks, dit.blocks, strict=True):
            copy(mine.modulation, block.modulation)
            copy(mine.ffn, block.feed_forward)
            copy(mine.conv, block.convolution)
            for own, attention in (
                (mine.self_attention, block.self_attention),
                (mine.cross_attention, block.cross_attention),
            ):
                copy(own.q, attention.query)
                copy(own.g, attention.gate)
                copy(own.o, attention.out)
                for part, layer in enumerate((own.k, own.v)):
                    layer.weight.copy_(attention.key_value.weight.chunk(2)[part])
                    layer.bias.copy_(attention.key_value.bias.chunk(2)[part])
