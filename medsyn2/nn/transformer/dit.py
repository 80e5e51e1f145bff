"""The diffusion transformer: predicts clean latents from noisy latents, a mask, a text and a time.

Noisy image latents and mask latents are concatenated along channels, so that a mask costs no tokens (equation 1), cut
into patches and passed through blocks of

    x <- x + out_1 * SelfAttention (LN(x) * (1 + scale_1) + shift_1)
    x <- x + out_2 * CrossAttention(LN(x) * (1 + scale_2) + shift_2, text)
    x <- x + out_3 * FeedForward   (LN(x) * (1 + scale_3) + shift_3)
    x <- Convolution(x)                                          pointwise after depthwise 3 x 3 x 3

(equation 2), with scales, shifts and outs computed from the time. Both attentions are gated. Initially every ``out``
is zero and the convolution the identity: a block does nothing, and the network predicts zero.

Where the paper is silent, 16 heads, positions, initialisation and the final layer are DiT's; the convolution starts as
the identity because it has no residual. At the paper's size (width 1152, depth 16, patch 2, text width 768, 4 latent
channels) there are 585,719,456 parameters.

Under autocast the final layer runs in the precision of the parameters: it makes the predicted latents.

The network that the authors released has another block (``dit_official.py``) and reverses time: 1000 tau with
tau = 1 - t. The layout ``official`` is that network, with the same arguments.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from medsyn2.nn.transformer.conditioning import real_tokens
from medsyn2.nn.transformer.dit_official import OfficialBlock
from medsyn2.nn.transformer.layers import (
    FeedForward,
    GatedAttention,
    Patch,
    TimeEmbedding,
    TokenConvolution,
    TokenGrid,
    modulate,
    patchify,
    positions,
    rotations,
    unpatchify,
)
from medsyn2.types import Bool, Float

Checkpointing = Literal["none", "selective", "full"]

ATTENTION = tuple(
    getattr(torch.ops.aten, name).default
    for name in (
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_fused_attention_overrideable",
    )
)
"""All fused attention kernels; a missing one would silently be recomputed."""


def run_block(block: nn.Module, mode: Checkpointing, *inputs: Any) -> Tensor:
    """Return ``block(*inputs)``, checkpointed by `mode`, which has no effect if gradients are disabled.

    For the backward pass ``none`` keeps all tensors (about 29 of a token's width per token and block), ``full`` the
    block's input alone, ``selective`` also the output of attention, which is 81 % of all operations at the paper's
    size but one tensor, so that recomputation is cheap. The gradients are the same in all three, to the last bit where
    kernels are deterministic.
    """
    if mode == "none" or not torch.is_grad_enabled():
        return block(*inputs)
    # Blocks have no randomness to restore. torch.compile must see context_fn in the call itself, hence two calls.
    if mode == "full":
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    keeping = partial(create_selective_checkpoint_contexts, _keep_attention)
    return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=keeping)


def _keep_attention(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in ATTENTION else CheckpointPolicy.PREFER_RECOMPUTE


def compile_run_block(*args: Any, **kwargs: Any) -> Callable[..., Tensor]:
    """Return `run_block`, compiled by ``torch.compile(..., *args, **kwargs)``.

    All blocks share its graphs, with checkpointing inside, so that compilation takes as long as for one block. The
    length of texts is dynamic from the first call on: there is one graph without a text mask and one with it.
    """
    compiled = torch.compile(run_block, *args, **kwargs)

    def run(
        block: nn.Module,
        mode: Checkpointing,
        x: Tensor,
        time: Tensor,
        text: Tensor,
        text_mask: Tensor | None,
        *others: Any,
    ) -> Tensor:
        for varying in (text, text_mask):
            if varying is not None:
                torch._dynamo.maybe_mark_dynamic(varying, 1)
        return compiled(block, mode, x, time, text, text_mask, *others)

    return run


Layout = Literal["paper", "official"]
Positions = Literal["sincos", "rope", "both"]


class DiT(nn.Module):
    """Diffusion transformer that predicts clean latents.

    Args:
        latent_channels: Channels of the image latents; the mask latents have as many.
        width: Feature dimension; divides by 6 and by `num_heads`.
        patch: Latent voxels per token (depth, height, width).
        mlp_ratio: Width of the feed-forward layers in multiples of `width`.
        positions: Encoding of a token's place: added sine-cosine positions, rotations of queries and keys, or both.
        layout: The paper's blocks or those of the authors' release.

    Attributes:
        config: The arguments, from which an equal network is built.
        checkpointing: Activation checkpointing; may be set at any time.
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        text_width: int,
        width: int,
        depth: int,
        num_heads: int,
        patch: Patch,
        mlp_ratio: float = 4.0,
        qk_norm: bool = False,
        gate: bool = True,
        conv: bool = True,
        positions: Positions = "sincos",
        layout: Layout = "paper",
    ) -> None:
        super().__init__()
        self.config = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.width = width
        self.head_width = width // num_heads
        self.positions = positions
        self.layout = layout
        self.checkpointing: Checkpointing = "none"
        self._run_block: Callable[..., Tensor] = run_block
        self.patch = (patch[0], patch[1], patch[2])
        voxels = patch[0] * patch[1] * patch[2]
        self.patch_embedding = nn.Linear(2 * latent_channels * voxels, width)
        self.time_embedding = TimeEmbedding(width)
        block = DiTBlock if layout == "paper" else OfficialBlock
        self.blocks = nn.ModuleList(
            block(width, num_heads, text_width, round(mlp_ratio * width), qk_norm=qk_norm, gate=gate, conv=conv)
            for _ in range(depth)
        )
        self.final_modulation = nn.Linear(width, 2 * width)
        self.final = nn.Linear(width, latent_channels * voxels)
        self.reset_parameters()

    def forward(
        self,
        latents: Float[Tensor, "b z ld lh lw"],
        t: Float[Tensor, " b"],
        mask_latents: Float[Tensor, "b z ld lh lw"],
        text: Float[Tensor, "b m c"],
        text_mask: Bool[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b z ld lh lw"]:
        """Predict the clean latents.

        Args:
            latents: Noisy latents z_t.
            t: Time of each sample: 0 clean, 1 noise.
            mask_latents: Latents of the mask; zeros where there is none.
            text: Token embeddings, pre-prompt then report.
            text_mask: True for real tokens, at least one per text; None if all are.

        Returns:
            Predicted z_0, in the type of `latents`.
        """
        if text_mask is not None:
            text, text_mask = real_tokens(text, text_mask)
        grid = self._token_grid(latents)
        dtype = self.patch_embedding.weight.dtype

        x = torch.cat((latents, mask_latents), dim=1)  # (b, 2z, ld, lh, lw)
        x = self.patch_embedding(patchify(x, self.patch).to(dtype))  # (b, n, e)
        if self.positions != "rope":
            x = x + positions(grid, self.width, x.device).to(dtype)
        rotation = None if self.positions == "sincos" else rotations(grid, self.head_width, x.device)
        time = F.silu(self.time_embedding(t if self.layout == "paper" else 1 - t))  # (b, e)
        text = text.to(dtype)
        for block in self.blocks:
            x = self._run_block(block, self.checkpointing, x, time, text, text_mask, grid, rotation)
        with torch.autocast(x.device.type, enabled=False):
            shift, scale = self.final_modulation(time.to(dtype))[:, None].chunk(2, dim=-1)  # each (b, 1, e)
            x = self.final(modulate(x.to(dtype), scale, shift))  # (b, n, p)
        return unpatchify(x, grid, self.patch).to(latents.dtype)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the blocks; the little before and after them stays as it is.

        The arguments are those of `torch.compile`.
        """
        self._run_block = compile_run_block(*args, **kwargs)

    def reset_parameters(self) -> None:
        """Initialise as DiT does: Xavier, and zeros for modulation and output."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for linear in (self.time_embedding.expand, self.time_embedding.project):
            nn.init.normal_(linear.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, DiTBlock | OfficialBlock):
                module.reset_to_identity()
        for linear in (self.final_modulation, self.final):
            nn.init.zeros_(linear.weight)

    def _token_grid(self, latents: Float[Tensor, "b z ld lh lw"]) -> TokenGrid:
        grid = latents.shape[2:]
        if any(size % p for size, p in zip(grid, self.patch, strict=True)):
            raise ValueError(f"the latent grid {tuple(grid)} does not divide by the patch {self.patch}")
        ld, lh, lw = (size // p for size, p in zip(grid, self.patch, strict=True))
        return ld, lh, lw


class DiTBlock(nn.Module):
    """One block: gated self-attention, gated cross-attention to the text, feed-forward, convolution."""

    def __init__(
        self, width: int, num_heads: int, text_width: int, hidden: int, *, qk_norm: bool, gate: bool, conv: bool
    ) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 9 * width)
        self.self_attention = GatedAttention(width, num_heads, width, qk_norm=qk_norm, gate=gate)
        self.cross_attention = GatedAttention(width, num_heads, text_width, qk_norm=qk_norm, gate=gate)
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
        (scale_1, shift_1, out_1), (scale_2, shift_2, out_2), (scale_3, shift_3, out_3) = (
            branch.chunk(3, dim=-1) for branch in self.modulation(time)[:, None].chunk(3, dim=-1)
        )  # each (b, 1, e)
        y = modulate(x, scale_1, shift_1)
        x = x + out_1 * self.self_attention(y, y, rotation=rotation)
        x = x + out_2 * self.cross_attention(modulate(x, scale_2, shift_2), text, text_mask)
        x = x + out_3 * self.feed_forward(modulate(x, scale_3, shift_3))
        return x if self.convolution is None else self.convolution(x, grid)

    def reset_to_identity(self) -> None:
        """Make the block the identity, with gates half open; other weights are unchanged."""
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        for attention in (self.self_attention, self.cross_attention):
            if attention.gate is not None:
                nn.init.normal_(attention.gate.weight, std=0.02)
        if self.convolution is not None:
            self.convolution.reset_to_identity()
