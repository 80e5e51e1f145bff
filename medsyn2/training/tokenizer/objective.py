"""The objective of the tokenizer: reconstruction, divergence and, optionally, an adversarial loss.

The tokenizer minimises

    L = r + kl_weight * mean KL(q(z | x) || N(0, 1)) + a * g,
    r = mean |x - y| + perceptual_weight * LPIPS(x, y),    g = -mean D(y),

with y decoded from a draw of q, and a = gan_weight * |dr/dW| / (|dg/dW| + 1e-4), where W is the decoder's last layer:
the adversarial gradient is scaled to that of the reconstruction.
The discriminator D minimises the hinge loss (mean relu(1 - D(x)) + mean relu(1 + D(y))) / 2.

Upstream sums |x - y| over each slice and KL over the volume, with a weight of 1e-6; with means, as here, the
equivalent weight at 96 slices is 5e-7. Only the ratio matters to Adam. The perceptual loss needs external weights;
without them it is left out with a warning.

Source: Paper, section 7.1; Esser et al., arXiv:2012.09841 (adaptive weight, hinge); losses/perceptual_loss.py of
Open-Sora Plan v1.2.0 (read).
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medsyn2.config import TrainTokenizerConfig
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE, Posterior
from medsyn2.nn.perceptual import Perceptual
from medsyn2.training.engine.learner import Learner, MicroLoss
from medsyn2.training.engine.optimizer import AdamSettings
from medsyn2.types import Float

log = logging.getLogger(__name__)

CHANNELS = 64
NUM_LAYERS = 3
PLANE_ONLY = (1, 2, 2)


def make_discriminator(image_channels: int = 1) -> nn.Module:
    """Return an untrained 3-D PatchGAN; the last element of its output list are the judgements.

    Five convolutions of 3 x 3 x 3 with leaky ReLU and batch normalisation; 96 x 96 x 96 voxels become 24 x 12 x 12
    judgements. It is MONAI's, except that the third convolution halves the plane alone, as upstream's does.

    Source: Isola et al., arXiv:1611.07004; NLayerDiscriminator3D of Open-Sora Plan v1.2.0 (sizes read).
    """
    from monai.networks.nets.patchgan_discriminator import PatchDiscriminator  # import takes seconds

    discriminator = PatchDiscriminator(
        spatial_dims=3, channels=CHANNELS, in_channels=image_channels, num_layers_d=NUM_LAYERS, kernel_size=3
    )
    third = discriminator.get_submodule("1.conv")
    assert isinstance(third, nn.Conv3d)
    third.stride = PLANE_ONLY
    return discriminator


TOKENIZER, DISCRIMINATOR = "tokenizer", "discriminator"
LARGEST_ADVERSARIAL_WEIGHT = 1e4

Crops = Float[Tensor, "b 1 d h w"]
"""Images in [-1, 1], or masks at -0.5 and 0.5."""


class TokenizerObjective:
    """The losses of the tokenizer and of its discriminator.

    Args:
        kl_weight: Weight of the divergence, a mean over latents.
        gan_weight: Scale of the adaptive adversarial weight.
        gan_start: First step with the discriminator; None leaves it out.
        perceptual: Network of the perceptual loss; None leaves it out.
    """

    def __init__(
        self,
        kl_weight: float,
        gan_weight: float,
        gan_start: int | None,
        perceptual: Perceptual | None = None,
        perceptual_weight: float = 1.0,
    ) -> None:
        self.kl_weight, self.gan_weight, self.gan_start = kl_weight, gan_weight, gan_start
        self.perceptual, self.perceptual_weight = perceptual, perceptual_weight

    @property
    def generator_parts(self) -> tuple[str, ...]:
        """Names of the parts of the loss that `generator_loss` logs."""
        perceptual = () if self.perceptual is None else ("perceptual",)
        adversarial = () if self.gan_start is None else ("adversarial", "adversarial_weight")
        return ("l1", "kl", *perceptual, *adversarial)

    def generator_loss(
        self, networks: Mapping[str, nn.Module], batch: Crops, generator: torch.Generator, step: int
    ) -> MicroLoss:
        """Return the tokenizer's loss."""
        tokenizer = networks[TOKENIZER]
        reconstruction, moments = tokenizer(batch, generator)
        l1 = F.l1_loss(reconstruction.float(), batch)
        kl = Posterior.from_moments(moments.float()).kl().mean()
        error, parts = l1, [l1.detach(), kl.detach()]
        if self.perceptual is not None:
            distance = self.perceptual.to(batch.device)(reconstruction, batch)
            error = l1 + self.perceptual_weight * distance
            parts.append(distance.detach())
        total = error + self.kl_weight * kl
        if self.gan_start is not None:
            adversarial, weight = l1.new_zeros(()), l1.new_zeros(())
            if step >= self.gan_start:
                adversarial = -self._judge(networks[DISCRIMINATOR], reconstruction)
                weight = self._adversarial_weight(error, adversarial, cast(nn.Parameter, tokenizer.last_layer))
                total = total + weight * adversarial
            parts += [adversarial.detach(), weight]
        sums = torch.stack(parts)
        return MicroLoss(total, sums, torch.ones_like(sums))

    def discriminator_loss(
        self, networks: Mapping[str, nn.Module], batch: Crops, generator: torch.Generator, step: int
    ) -> MicroLoss:
        """Return the discriminator's loss, from the arguments of `generator_loss`."""
        discriminator = networks[DISCRIMINATOR]
        with torch.no_grad():
            reconstruction, _ = networks[TOKENIZER](batch, generator)
        on_real = discriminator(batch)[-1].float()
        on_fake = discriminator(reconstruction)[-1].float()
        total = 0.5 * (F.relu(1.0 - on_real).mean() + F.relu(1.0 + on_fake).mean())
        sums = torch.stack([on_real.detach().mean(), on_fake.detach().mean()])
        return MicroLoss(total, sums, torch.ones_like(sums))

    def _judge(self, discriminator: nn.Module, reconstruction: Tensor) -> Tensor:
        """Return the mean judgement, without gradients for the discriminator's parameters."""
        # A wrapped network would wait for their exchange among processes.
        bare = getattr(discriminator, "module", discriminator)
        with _frozen(bare):
            return bare(reconstruction)[-1].float().mean()

    def _adversarial_weight(self, error: Tensor, adversarial: Tensor, last_layer: nn.Parameter) -> Tensor:
        (wanted,) = torch.autograd.grad(error, last_layer, retain_graph=True)
        (found,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
        ratio = wanted.norm() / (found.norm() + 1e-4)
        return self.gan_weight * ratio.clamp(0.0, LARGEST_ADVERSARIAL_WEIGHT).detach()


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def tokenizer_learners(
    tokenizer: CausalVideoVAE, settings: TrainTokenizerConfig, perceptual: Perceptual | None = None
) -> dict[str, Learner]:
    """Return the learners by name: the tokenizer and, if configured, its discriminator.

    The discriminator is initialised from torch's global generator.
    """
    objective = TokenizerObjective(
        settings.kl_weight, settings.gan_weight, settings.gan_start, perceptual, settings.perceptual_weight
    )
    if perceptual is None:
        log.warning(
            "the tokenizer trains without the paper's perceptual loss (LPIPS), on L1 instead of L1 + LPIPS: "
            "train_tokenizer.perceptual_weights is null"
        )
    optimizer = AdamSettings.of(settings)
    learners = {
        TOKENIZER: Learner(
            tokenizer, objective.generator_loss, optimizer, settings.ema_decay, objective.generator_parts
        )
    }
    if settings.gan_start is None:
        log.info("the tokenizer trains without an adversarial loss: train_tokenizer.gan_start is null")
        return learners
    learners[DISCRIMINATOR] = Learner(
        make_discriminator(),
        objective.discriminator_loss,
        optimizer,
        settings.ema_decay,
        ("on_real", "on_fake"),
        first_step=settings.gan_start,
    )
    return learners
