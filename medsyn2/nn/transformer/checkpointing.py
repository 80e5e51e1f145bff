"""Activation checkpointing: the tensors that a block keeps for its backward pass.

    none        all: fastest, and about 29 tensors of a token's width per token and block
    selective   the block's input and the output of attention; the rest is recomputed
    full        the block's input alone; the whole block is recomputed, attention included

Attention is 81 % of all operations at the paper's size but its output is one tensor, so keeping it makes
recomputation cheap. The gradients are the same in all three, to the last bit where kernels are deterministic.
"""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

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
    """Return ``block(*inputs)``, checkpointed by `mode`.

    Args:
        mode: Tensors to keep; without effect if gradients are disabled.
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
