"""The networks of a configuration in numbers: parameters by component, operations, memory.

Nothing is allocated and nothing computed: the networks are built and run on tensors without values
(``medsyn2.nn.cost``), so that the paper's size takes seconds on a laptop. Memory is that of float32 weights and the
largest sum of tensors alive at once; libraries' workspaces come on top (on CPUs up to as much again).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import nn

from medsyn2.config import Config
from medsyn2.nn.cost import Cost, cost_of, simulated
from medsyn2.nn.dit import DiT
from medsyn2.nn.tokenizer import CausalVideoVAE
from medsyn2.nn.windows import encode_cost
from medsyn2.planning.networks import decoding

CXR_BERT_WIDTH = 768
_KEPT_FOR_ADAM = 4
"""Weights, both moments and the moving average; gradients are in the step's peak."""


@dataclass(frozen=True)
class Part:
    """A component of a network.

    Attributes:
        name: Its place in the network; ``*`` stands for every block.
        copies: How often it is there.
        parameters: Of all copies.
    """

    name: str
    copies: int
    parameters: int


@dataclass(frozen=True)
class Work:
    """Something the networks do.

    Attributes:
        name: What.
        flops: Floating-point operations.
        memory_bytes: Weights, tensors and, in training, what the optimizer keeps.
    """

    name: str
    flops: int
    memory_bytes: int


@dataclass(frozen=True)
class Description:
    """The networks of a configuration.

    Attributes:
        dit: Components of the transformer.
        tokenizer: Components of the tokenizer.
        latent_shape: Channels, depth, height, width of the latents.
        tokens: Image tokens of the transformer.
        text_tokens: Tokens of pre-prompt and report.
        work: One forward pass, one training step of each network, one volume through the tokenizer.
    """

    dit: tuple[Part, ...]
    tokenizer: tuple[Part, ...]
    latent_shape: tuple[int, int, int, int]
    tokens: int
    text_tokens: int
    work: tuple[Work, ...]


def describe(config: Config) -> Description:
    """Return the networks of `config` in numbers.

    Raises:
        ConfigError: If the grid or a window is no shape that the tokenizer can compress, or it is to decode as a
            stream and cannot.
    """
    shape, windows = config.grid.shape, config.encode_latents
    with simulated():
        tokenizer = CausalVideoVAE(**config.tokenizer.model_dump())
        latent_shape = (config.tokenizer.latent_channels, *tokenizer.latent_shape(shape))
        width = CXR_BERT_WIDTH if config.encode_text.encoder_dir else config.train_text_encoder.hidden_size
        dit = DiT(latent_channels=latent_shape[0], text_width=width, **config.dit.model_dump())
        work = (
            *_dit_work(config, dit, latent_shape, width),
            _tokenizer_step(config, tokenizer),
            _inference(
                "tokenizer, encode a volume", encode_cost(tokenizer, shape, windows.window, windows.overlap)
            ),
            _inference("tokenizer, decode a volume", decoding(config, tokenizer)),
        )
        return Description(
            dit=tuple(_parts(dit)),
            tokenizer=tuple(_parts(tokenizer)),
            latent_shape=latent_shape,
            tokens=prod(latent_shape[1:]) // prod(config.dit.patch),
            text_tokens=_text_tokens(config),
            work=work,
        )


def _text_tokens(config: Config) -> int:
    return config.encode_text.max_prompt_tokens + config.encode_text.max_report_tokens


def _dit_work(
    config: Config, dit: DiT, latent_shape: tuple[int, int, int, int], text_width: int
) -> Iterable[Work]:
    training = config.train_dit
    dit.checkpointing = training.checkpointing

    def inputs(batch: int) -> tuple[torch.Tensor, ...]:
        latents = torch.empty(batch, *latent_shape)
        text = torch.empty(batch, _text_tokens(config), text_width)
        return latents, torch.empty(batch), torch.empty_like(latents), text

    one, several = inputs(1), inputs(training.batch_size)
    with torch.no_grad(), _autocast(training.precision):
        forward = cost_of(lambda: dit(*one))

    def step() -> None:
        with _autocast(training.precision):
            loss = dit(*several).square().mean()
        loss.backward()

    yield Work("transformer, forward", forward.flops, _bytes(dit) + forward.peak_bytes)
    yield _training(f"transformer, training micro-step of {training.batch_size}", dit, cost_of(step))


def _tokenizer_step(config: Config, tokenizer: CausalVideoVAE) -> Work:
    training = config.train_tokenizer
    crops = torch.empty(training.batch_size, 1, *training.crop_shape)

    def step() -> None:
        with _autocast(training.precision):
            posterior = tokenizer.encode(crops)
            loss = (tokenizer.decode(posterior.mode()) - crops).abs().mean() + posterior.kl().mean()
        loss.backward()

    return _training(f"tokenizer, training step of {training.batch_size} (no GAN)", tokenizer, cost_of(step))


def _autocast(precision: Literal["32-true", "bf16-mixed"]) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed")


def _inference(name: str, cost: Cost) -> Work:
    return Work(name, cost.flops, cost.peak_bytes)


def _training(name: str, network: nn.Module, cost: Cost) -> Work:
    return Work(name, cost.flops, _KEPT_FOR_ADAM * _bytes(network) + cost.peak_bytes)


def _bytes(network: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())


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
