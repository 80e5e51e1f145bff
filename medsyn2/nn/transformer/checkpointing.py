"""Trading time for memory in training: what a block keeps for its backward pass.

    none        everything: fastest, and about 29 tensors of a token's width a token and block
    selective   the block's input and what attention returned; all else is computed again
    full        the block's input alone; the block is computed again, attention included

Attention is 81 % of all operations at the paper's size but its result is one tensor, so keeping it makes
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
"""Every fused kernel that attention may run in: one left out would be computed twice without a word."""


def run_block(block: nn.Module, mode: Checkpointing, *inputs: Any) -> Tensor:
    """Return ``block(*inputs)``, keeping what `mode` says for the backward pass.

    Args:
        block: A block of the network.
        mode: What is kept. Without gradients nothing is, whatever it says.
        inputs: Of the block.
    """
    if mode == "none" or not torch.is_grad_enabled():
        return block(*inputs)
    # Nothing in a block is random. Two calls, as torch.compile wants to see what a context is made by.
    if mode == "full":
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    keeping = partial(create_selective_checkpoint_contexts, _keep_attention)
    return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=keeping)


def _keep_attention(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in ATTENTION else CheckpointPolicy.PREFER_RECOMPUTE
