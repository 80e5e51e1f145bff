import pytest
import torch

from medsyn2.errors import WeightsError
from medsyn2.nn.perceptual import Perceptual
from medsyn2.weights.conversion.perceptual import build_perceptual

TINY = (2, 3, 4, 5, 6)


def public_files(seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What torchvision's VGG16 and lpips's vgg.pth hold, at tiny widths."""
    torch.manual_seed(seed)
    state = Perceptual(TINY).state_dict()
    vgg = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
    vgg |= {"classifier.0.weight": torch.zeros(4, 4), "classifier.0.bias": torch.zeros(4)}
    return vgg, {name: tensor for name, tensor in state.items() if name.startswith("lin")}


def test_the_two_files_make_one_network() -> None:
    vgg, lpips = public_files()
    made = build_perceptual(vgg, lpips, source="x", channels=TINY).state_dict()
    assert all(torch.equal(made[name], tensor) for name, tensor in {**vgg, **lpips}.items() if name in made)
    assert len(made) == 31


def test_what_else_a_file_holds_is_left_out() -> None:
    vgg, lpips = public_files()
    _, others = public_files(1)
    extra = {"scaling_layer.shift": torch.zeros(1, 3, 1, 1), "net.slice1.0.weight": torch.zeros(1)}
    extra |= {f"lins.{name[3]}{name[4:]}": tensor for name, tensor in others.items()}
    made = build_perceptual(vgg, {**lpips, **extra}, source="x", channels=TINY).state_dict()
    assert all(torch.equal(made[name], tensor) for name, tensor in lpips.items())


@pytest.mark.parametrize("lost", ["features.28.bias", "lin3.model.1.weight"])
def test_a_lost_tensor_is_named(lost: str) -> None:
    vgg, lpips = public_files()
    with pytest.raises(WeightsError, match=rf"missing.*{lost}"):
        build_perceptual(
            {name: tensor for name, tensor in vgg.items() if name != lost},
            {name: tensor for name, tensor in lpips.items() if name != lost},
            source="x",
            channels=TINY,
        )


def test_other_sizes_are_refused() -> None:
    with pytest.raises(WeightsError, match="of another shape"):
        build_perceptual(*public_files(), source="x")
