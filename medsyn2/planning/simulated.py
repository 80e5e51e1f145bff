"""The networks on tensors without values, as they are built and run (``medsyn2.nn.cost``).

Nothing is allocated and nothing computed, so that the paper's size takes seconds on a laptop. Types under autocast are
those of CUDA (``medsyn2.nn.cuda_autocast``).
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from medsyn2.nn import attention
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_cost, encode_cost
from medsyn2.nn.compute_cost import ComputeCost
from medsyn2.nn.cost import cost_of, simulation
from medsyn2.nn.cuda_autocast import CudaAutocast
from medsyn2.nn.perceptual import Perceptual
from medsyn2.nn.precision import arithmetic
from medsyn2.nn.transformer.dit import DiT
from medsyn2.planning.pass_settings import TRAINING_BF16, TokenizerSettings, TransformerSettings

CPU = torch.device("cpu")
"""Where tensors without values are."""


class _Simulated:
    """A network that was built in a simulation, and can be used in it alone."""

    network: nn.Module

    def __init__(self) -> None:
        self._simulation = simulation()

    @property
    def num_parameters(self) -> int:
        """The number of its parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def weight_bytes(self) -> int:
        """Memory of its weights, in float32 as they are kept."""
        return 4 * self.num_parameters

    @contextmanager
    def _without_values(self) -> Iterator[None]:
        """Enter the simulation; the kernels of attention, which nothing will run with, go unannounced."""
        announced = logging.getLogger(attention.__name__)
        level = announced.level
        announced.setLevel(logging.WARNING)
        try:
            with self._simulation, CudaAutocast():
                yield
        finally:
            announced.setLevel(level)


class SimulatedTokenizer(_Simulated):
    """The tokenizer of a configuration."""

    network: CausalVideoVAE

    def __init__(self, settings: TokenizerSettings) -> None:
        super().__init__()
        self.settings = settings
        with self._simulation:
            self.network = CausalVideoVAE(**settings.network)
            self.perceptual = Perceptual() if settings.is_perceptual else None

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Channels, depth, height and width of a volume's latents."""
        return self.settings.network["latent_channels"], *self.network.latent_shape(self.settings.volume_shape)

    def training(self) -> ComputeCost:
        """Return what one step of training takes, without an adversary."""
        settings = self.settings
        with self._without_values():
            crops = torch.empty(settings.batch_size, 1, *settings.crop_shape)

            def step() -> None:
                with _autocast(settings.training_precision):
                    posterior = self.network.encode(crops)
                    reconstruction = self.network.decode(posterior.mode())
                    loss = (reconstruction - crops).abs().mean() + posterior.kl().mean()
                    if self.perceptual is not None:
                        loss = loss + self.perceptual(reconstruction, crops)
                torch.autograd.backward(loss)  # `loss.backward` would leave the `CudaAutocast`

            return cost_of(step)

    def perceptual_loss(self) -> ComputeCost:
        """Return what the perceptual loss takes of that step, forward and backward to the reconstruction."""
        if self.perceptual is None:
            return ComputeCost(0, 0)
        perceptual, shape = self.perceptual, (self.settings.batch_size, 1, *self.settings.crop_shape)
        with self._without_values():
            crops, reconstruction = torch.empty(shape), torch.empty(shape, requires_grad=True)
            return cost_of(lambda: torch.autograd.backward(perceptual(reconstruction, crops)))

    def encoding(self) -> ComputeCost:
        """Return what it takes to encode one volume."""
        own = self.settings
        with self._without_values():
            return encode_cost(self.network, own.volume_shape, own.window, own.overlap, own.precision)

    def decoding(self) -> ComputeCost:
        """Return what it takes to decode one volume."""
        own = self.settings
        with self._without_values():
            return decode_cost(self.network, own.volume_shape, own.window, own.overlap, own.precision)


class SimulatedTransformer(_Simulated):
    """The transformer of a configuration."""

    network: DiT

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        self.settings = settings
        with self._simulation:
            self.network = DiT(
                latent_channels=settings.latent_shape[0], text_width=settings.text_width, **settings.network
            )
        self.network.checkpointing = settings.checkpointing

    def forward(self) -> ComputeCost:
        """Return what one sample takes, without gradients."""
        with self._without_values(), torch.no_grad(), arithmetic(self.settings.precision, CPU):
            inputs = self._inputs(1)
            return cost_of(lambda: self.network(*inputs))

    def training(self) -> ComputeCost:
        """Return what one micro-step of training takes."""
        settings = self.settings
        with self._without_values():
            inputs = self._inputs(settings.batch_size)

            def step() -> None:
                with _autocast(settings.training_precision):
                    loss = self.network(*inputs).square().mean()
                torch.autograd.backward(loss)  # `loss.backward` would leave the `CudaAutocast`

            return cost_of(step)

    def _inputs(self, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        settings = self.settings
        latents = torch.empty(batch, *settings.latent_shape)
        text = torch.empty(batch, settings.text_tokens, settings.text_width)
        return latents, torch.empty(batch), torch.empty_like(latents), text


def _autocast(precision: str) -> torch.autocast:
    return torch.autocast(CPU.type, torch.bfloat16, enabled=precision == TRAINING_BF16)
