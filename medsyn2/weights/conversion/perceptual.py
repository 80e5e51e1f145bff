"""The perceptual network from its two public files: torchvision's VGG16 and the `lpips` package's weights.

VGG16's classifier is left out, and so are tensors of `lpips` other than the channel weights: older files hold the same
tensors twice, or a VGG16 of their own. Loading is strict.
"""

from collections.abc import Mapping

from torch import Tensor

from medsyn2.nn.perceptual import CHANNELS, Perceptual
from medsyn2.weights.tensors import load_strictly

VGG_PREFIX = "features."


def build_perceptual(
    vgg: Mapping[str, Tensor], lpips: Mapping[str, Tensor], *, source: str, channels: tuple[int, ...] = CHANNELS
) -> Perceptual:
    """Build the perceptual network with these weights.

    Args:
        vgg: State dict of torchvision's VGG16, with or without its classifier.
        lpips: State dict of the `lpips` package's linear weights.

    Raises:
        WeightsError: If a tensor is missing or of another shape.
    """
    network = Perceptual(channels)
    wanted = network.state_dict()
    state = {name: tensor for name, tensor in vgg.items() if name.startswith(VGG_PREFIX)}
    state |= {name: tensor for name, tensor in lpips.items() if name in wanted and name not in state}
    load_strictly(network, state, source=source)
    return network
