"""Maps of cross-attention from image tokens to text tokens, and two numbers that summarise them.

Fused kernels never form the weights softmax(q k^T / sqrt(d)). While `recording`, they are computed in addition, one
head at a time to bound memory, and averaged over heads, blocks and calls, as in the paper's Figs. 14 and 15. The
network's output does not change.

A softmax must put its mass somewhere. A head with nothing to look for often puts it on the first token, whatever it
says (an *attention sink*); gates give such a head another way to say nothing. The mass on the first token and the
entropy as a share of the largest possible (0: one token, 1: uniform) tell the two apart.

Source: Attention sinks: Xiao et al., "Efficient streaming language models with attention sinks", ICLR 2024; gates: Qiu
et al., "Gated attention for large language models", 2025.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from medsyn2.nn.transformer.dit import DiT
from medsyn2.nn.transformer.dit_official import FusedAttention
from medsyn2.nn.transformer.layers import GatedAttention, split_heads
from medsyn2.types import Float


@dataclass
class AttentionRecord:
    """Sum of the maps of the longest text among the recorded calls."""

    num_maps: int = 0  # Number of maps in the sum: blocks times calls
    _sum: Tensor | None = field(default=None, repr=False)

    def add(self, weights: Float[Tensor, "b n m"]) -> None:
        """Add one map; a longer text replaces the sum, a shorter one (of guidance) is ignored."""
        length = 0 if self._sum is None else self._sum.shape[-1]
        if self._sum is None or weights.shape[-1] > length:
            self._sum, self.num_maps = weights.clone(), 1
        elif weights.shape[-1] == length:
            self._sum += weights
            self.num_maps += 1

    def mean(self) -> Float[Tensor, "b n m"]:
        """Return the mean map; each image token's weights sum to 1.

        Raises:
            ValueError: If nothing was recorded.
        """
        if self._sum is None:
            raise ValueError("no attention was recorded: call the network inside `recording`")
        return self._sum / self.num_maps


@contextmanager
def recording(network: DiT) -> Iterator[AttentionRecord]:
    """Record the cross-attention of every call of `network` inside the context.

    Raises:
        ValueError: If the network is called with a text mask, which reorders tokens.
    """
    record = AttentionRecord()

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        x, text, text_mask = inputs
        if text_mask is not None:
            raise ValueError("record texts of one length, without a mask: padding reorders their tokens")
        with torch.no_grad():
            queries, keys = _queries_and_keys(module, x, text)
            with torch.autocast(x.device.type, enabled=False):
                record.add(_mean_over_heads(queries, keys))

    hooks = [block.get_submodule("cross_attention").register_forward_pre_hook(look) for block in network.blocks]
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()


def first_token_mass(weights: Float[Tensor, "b n m"]) -> Float[Tensor, " b"]:
    """Return the mean weight of the text's first token; a uniform map gives 1 / m."""
    return weights[..., 0].mean(dim=1)


def entropy_share(weights: Float[Tensor, "b n m"]) -> Float[Tensor, " b"]:
    """Return the mean entropy of the image tokens' weights over log(m): 0 for one token, 1 for a uniform map."""
    entropy = -torch.xlogy(weights, weights).sum(dim=-1)
    return entropy.mean(dim=1) / log(weights.shape[-1]) if weights.shape[-1] > 1 else torch.zeros(len(weights))


def _queries_and_keys(
    module: nn.Module, x: Float[Tensor, "b n e"], text: Float[Tensor, "b m c"]
) -> tuple[Float[Tensor, "b heads n d"], Float[Tensor, "b heads m d"]]:
    assert isinstance(module, GatedAttention | FusedAttention)
    assert module.key_value is not None
    width = x.shape[-1]
    queries = module.query(x) if isinstance(module, GatedAttention) else module.fused(x)[..., :width]
    keys = module.key_value(text)[..., :width]
    return (
        module.query_norm(split_heads(queries, module.num_heads)),
        module.key_norm(split_heads(keys, module.num_heads)),
    )


def _mean_over_heads(
    queries: Float[Tensor, "b heads n d"], keys: Float[Tensor, "b heads m d"]
) -> Float[Tensor, "b n m"]:
    num_heads, scale = queries.shape[1], 1 / sqrt(queries.shape[-1])
    total = torch.zeros(len(queries), queries.shape[2], keys.shape[2], device=queries.device)
    for head in range(num_heads):
        logits = queries[:, head].float() @ keys[:, head].float().transpose(1, 2)
        total += torch.softmax(logits * scale, dim=-1)
    return total / num_heads
