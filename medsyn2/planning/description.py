"""The networks of a configuration in numbers: parameters by component, operations, memory.

Memory is that of float32 weights and the largest sum of tensors alive at once (``passes.py``); libraries' workspaces
come on top (on CPUs up to as much again).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from torch import nn

from medsyn2.config import Config
from medsyn2.nn.compute_cost import ComputeCost
from medsyn2.planning.passes import KEPT_FOR_ADAM, Networks
from medsyn2.vocabulary import Precision


@dataclass(frozen=True)
class Part:
    """A component of a network."""

    name: str  # Its place in the network; ``*`` stands for every block
    copies: int  # How often it is there
    parameters: int  # Of all copies


@dataclass(frozen=True)
class Work:
    """Something the networks do."""

    name: str  # What
    flops: int  # Floating-point operations
    memory_bytes: int  # Weights, tensors and, in training, what the optimizer keeps


@dataclass(frozen=True)
class Description:
    """The networks of a configuration."""

    dit: tuple[Part, ...]  # Components of the transformer
    tokenizer: tuple[Part, ...]  # Components of the tokenizer
    latent_shape: tuple[int, int, int, int]  # Channels, depth, height, width of the latents
    tokens: int  # Image tokens of the transformer
    text_tokens: int  # Tokens of pre-prompt and report
    work: tuple[Work, ...]  # One forward pass, one training step of each network, one volume through the tokenizer


def describe(config: Config) -> Description:
    """Return the networks of `config` in numbers.

    Raises:
        ConfigError: If the grid or a window is no shape that the tokenizer can compress.
    """
    precisions = [Networks.of(config, has_bf16=has_bf16) for has_bf16 in (True, False)]
    networks = precisions[0]
    inference = {one.precision: one for one in precisions}
    batches = config.train_dit.batch_size, config.train_tokenizer.batch_size
    kept = [KEPT_FOR_ADAM * held for held in (networks.dit_bytes, networks.tokenizer_bytes)]
    work = (
        _sum_work(f"transformer, training micro-step of {batches[0]}", networks.dit_training(), kept[0]),
        _sum_work(f"tokenizer, training step of {batches[1]} (no GAN)", networks.tokenizer_training(), kept[1]),
        *(work for precision, one in inference.items() for work in _inference(precision, one)),
    )
    return Description(
        dit=tuple(_parts(networks.simulated_dit.network)),
        tokenizer=tuple(_parts(networks.simulated_tokenizer.network)),
        latent_shape=networks.latent_shape,
        tokens=prod(networks.latent_shape[1:]) // prod(config.dit.patch),
        text_tokens=networks.text_tokens,
        work=work,
    )


def _inference(precision: Precision, networks: Networks) -> Iterable[Work]:
    yield _sum_work(f"transformer, forward, {precision}", networks.dit_forward(), networks.dit_bytes)
    yield _sum_work(f"tokenizer, encode a volume, {precision}", networks.encoding())
    yield _sum_work(f"tokenizer, decode a volume, {precision}", networks.decoding())


def _sum_work(name: str, cost: ComputeCost, held_bytes: int = 0) -> Work:
    return Work(name, cost.flops, held_bytes + cost.peak_bytes)


def _parts(network: nn.Module) -> Iterable[Part]:
    """Yield the parameters by component: blocks together, levels of encoder and decoder one by one."""
    copies: dict[str, set[str]] = {}
    parameters: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        found = re.match(r"blocks\.\d+\.\w+|\w+\.(?:down|up)\.\d+|(?:encoder|decoder)\.\w+|\w+", name)
        assert found is not None
        part = re.sub(r"^blocks\.\d+", "blocks.*", found[0])
        copies.setdefault(part, set()).add(found[0])
        parameters[part] = parameters.get(part, 0) + parameter.numel()
    return (Part(name, len(copies[name]), number) for name, number in parameters.items())
