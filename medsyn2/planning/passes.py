"""One pass of each network of a configuration, in operations and memory, from shapes alone.

Nothing is allocated and nothing computed: the networks are built and run on tensors without values
(``medsyn2.nn.cost``), so that the paper's size takes seconds on a laptop. A training step is forward and backward, in
the precision and with the checkpointing that the configuration names; volumes are sampled, encoded and decoded in the
precision of ``inference``. Types under autocast are those of CUDA (``medsyn2.nn.cuda_autocast``).
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medsyn2.config import Config
from medsyn2.nn import attention
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_cost, encode_cost
from medsyn2.nn.cost import ComputeCost, cost_of, simulation
from medsyn2.nn.cuda_autocast import CudaAutocast
from medsyn2.nn.precision import arithmetic
from medsyn2.nn.transformer.dit import DiT
from medsyn2.vocabulary import Precision

CPU = torch.device("cpu")
"""Where tensors without values are."""
TRAINING_BF16 = "bf16-mixed"
CXR_BERT_WIDTH = 768
KEPT_FOR_ADAM = 4
"""Weights, both moments and the moving average; gradients are in a training step's peak."""


@dataclass(frozen=True)
class Networks:
    """The networks of a configuration, on tensors without values.

    Raises:
        ConfigError: From every pass, if the grid or a window is no shape that the tokenizer can compress.
    """

    config: Config  # The configuration
    tokenizer: CausalVideoVAE
    dit: DiT  # Its transformer
    latent_shape: tuple[int, int, int, int]  # Channels, depth, height, width of a volume's latents
    precision: Precision  # Of sampling, encoding and decoding
    simulation: AbstractContextManager[object]  # The context that they were built in

    @classmethod
    def of(cls, config: Config, *, has_bf16: bool = True) -> "Networks":
        """Return the networks of `config` on a device with or without bfloat16."""
        channels = config.tokenizer.latent_channels
        context = simulation()
        with context:
            tokenizer = CausalVideoVAE(**config.tokenizer.model_dump())
            dit = DiT(latent_channels=channels, text_width=text_width(config), **config.dit.model_dump())
        dit.checkpointing = config.train_dit.checkpointing
        latent_shape = (channels, *tokenizer.latent_shape(config.grid.shape))
        setting = config.inference.precision
        precision: Precision = ("bf16" if has_bf16 else "float32") if setting == "auto" else setting
        return cls(config, tokenizer, dit, latent_shape, precision, context)

    @property
    def text_tokens(self) -> int:
        """Tokens of pre-prompt and report."""
        return self.config.encode_text.max_prompt_tokens + self.config.encode_text.max_report_tokens

    def dit_forward(self) -> ComputeCost:
        """Return what the transformer takes for one sample, without gradients."""
        with self._without_values(), torch.no_grad(), arithmetic(self.precision, CPU):
            inputs = self._dit_inputs(1)
            return cost_of(lambda: self.dit(*inputs))

    def dit_training(self) -> ComputeCost:
        """Return what one micro-step of the transformer's training takes."""
        training = self.config.train_dit
        with self._without_values():
            inputs = self._dit_inputs(training.batch_size)

            def step() -> None:
                with _autocast(training.precision):
                    loss = self.dit(*inputs).square().mean()
                torch.autograd.backward(loss)  # `loss.backward` would leave the `CudaAutocast`

            return cost_of(step)

    def tokenizer_training(self) -> ComputeCost:
        """Return what one step of the tokenizer's training takes, without an adversary."""
        training = self.config.train_tokenizer
        with self._without_values():
            crops = torch.empty(training.batch_size, 1, *training.crop_shape)

            def step() -> None:
                with _autocast(training.precision):
                    posterior = self.tokenizer.encode(crops)
                    loss = (self.tokenizer.decode(posterior.mode()) - crops).abs().mean() + posterior.kl().mean()
                torch.autograd.backward(loss)  # `loss.backward` would leave the `CudaAutocast`

            return cost_of(step)

    def encoding(self) -> ComputeCost:
        """Return what it takes to encode one volume."""
        windows = self.config.encode_latents
        with self._without_values():
            return encode_cost(self.tokenizer, self.config.grid.shape, windows.window, windows.overlap, self.precision)

    def decoding(self) -> ComputeCost:
        """Return what it takes to decode one volume as the encoder's windows do."""
        windows = self.config.encode_latents
        with self._without_values():
            return decode_cost(self.tokenizer, self.config.grid.shape, windows.window, windows.overlap, self.precision)

    @contextmanager
    def _without_values(self) -> Iterator[None]:
        """Enter the simulation; the kernels of attention, which nothing will run with, go unannounced."""
        announced = logging.getLogger(attention.__name__)
        level = announced.level
        announced.setLevel(logging.WARNING)
        try:
            with self.simulation, CudaAutocast():
                yield
        finally:
            announced.setLevel(level)

    def _dit_inputs(self, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        latents = torch.empty(batch, *self.latent_shape)
        text = torch.empty(batch, self.text_tokens, text_width(self.config))
        return latents, torch.empty(batch), torch.empty_like(latents), text


def text_width(config: Config) -> int:
    """Return the width of the text encoder's embeddings; a given encoder is taken for CXR-BERT."""
    return CXR_BERT_WIDTH if config.encode_text.encoder_dir else config.train_text_encoder.hidden_size


def num_parameters(network: nn.Module) -> int:
    """Return how many parameters `network` has."""
    return sum(parameter.numel() for parameter in network.parameters())


def weight_bytes(network: nn.Module) -> int:
    """Return the memory of the weights, in float32 as they are kept."""
    return 4 * num_parameters(network)


def _autocast(precision: str) -> torch.autocast:
    return torch.autocast(CPU.type, torch.bfloat16, enabled=precision == TRAINING_BF16)
