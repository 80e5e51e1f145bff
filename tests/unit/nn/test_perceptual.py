import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medsyn2.errors import ConfigError
from medsyn2.nn.perceptual import Perceptual

TINY = (2, 3, 4, 5, 6)
VGG16_CONVOLUTIONS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


def network(channels: tuple[int, ...] = TINY) -> Perceptual:
    torch.manual_seed(0)
    made = Perceptual(channels).double()
    for name, tensor in made.state_dict().items():
        tensor.copy_(torch.rand_like(tensor) if name.startswith("lin") else 0.5 * torch.randn_like(tensor))
    return made


def reference(state: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """LPIPS as the paper writes it, layer by layer."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])

    def activations(image: Tensor) -> list[Tensor]:
        image = ((image.movedim(1, -1) - shift) / scale).movedim(-1, 1)
        found = []
        for index in VGG16_CONVOLUTIONS:
            if index in (5, 10, 17, 24):
                found.append(image)
                image = F.max_pool2d(image, 2)
            weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
            image = F.conv2d(image, weight, bias, padding=1).clamp(min=0)
        return [*found, image]

    total = torch.zeros(len(x), dtype=x.dtype)
    for stage, (a, b) in enumerate(zip(activations(x), activations(y), strict=True)):
        a = a / (a.square().sum(1, keepdim=True).sqrt() + 1e-10)
        b = b / (b.square().sum(1, keepdim=True).sqrt() + 1e-10)
        weights = state[f"lin{stage}.model.1.weight"][0]
        total += ((a - b).square() * weights).sum(1).mean((1, 2))
    return total


def test_equals_the_formula() -> None:
    made = network()
    x, y = torch.rand(2, 3, 3, 40, 24, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(made.images(x, y), reference(made.state_dict(), x, y), rtol=1e-6, atol=1e-8)


def test_a_volume_is_its_slices_as_grey_images() -> None:
    made = network().float()
    x, y = torch.rand(2, 2, 1, 3, 16, 24) * 2 - 1
    slices = [
        reference(made.state_dict(), x[i, :, j].expand(3, -1, -1)[None], y[i, :, j].expand(3, -1, -1)[None])
        for i in range(2)
        for j in range(3)
    ]
    torch.testing.assert_close(made(x, y), torch.cat(slices).mean())


def test_a_volume_is_at_no_distance_from_itself() -> None:
    made, x = network().float(), torch.rand(1, 1, 2, 16, 16)
    assert made(x, x.clone()).item() == 0.0
    assert made(x, x + 0.1).item() > 0.0


def test_only_images_get_gradients_and_finite_ones() -> None:
    made = network().float()
    x = torch.full((1, 1, 2, 32, 32), -1.0, requires_grad=True)  # air, where whole stages may be off
    made(x, torch.rand(1, 1, 2, 32, 32)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in made.parameters())


def test_pixels_without_any_feature_have_finite_gradients() -> None:
    made = network().float()
    for name, tensor in made.state_dict().items():
        if name.endswith("bias"):
            tensor.fill_(-1e3)
    x = torch.rand(1, 1, 2, 16, 16, requires_grad=True)
    made(x, torch.rand(1, 1, 2, 16, 16)).backward()
    assert x.grad is not None
    assert (x.grad == 0).all()


def test_gradient_is_that_of_the_formula() -> None:
    made = network()
    x, y = torch.rand(2, 1, 3, 16, 16, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    made.images(ours, y).sum().backward()
    reference(made.state_dict(), theirs, y).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-8)


def test_names_and_shapes_are_the_public_files() -> None:
    with torch.device("meta"):
        made = Perceptual()
    shapes = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    vgg = {f"features.{i}.{kind}" for i in VGG16_CONVOLUTIONS for kind in ("weight", "bias")}
    assert set(shapes) == vgg | {f"lin{i}.model.1.weight" for i in range(5)}
    assert shapes["features.0.weight"] == (64, 3, 3, 3)
    assert shapes["features.28.weight"] == (512, 512, 3, 3)
    assert [shapes[f"lin{i}.model.1.weight"][1] for i in range(5)] == [64, 128, 256, 512, 512]
    assert sum(parameter.numel() for parameter in made.parameters()) == 14_714_688 + 1_472


def test_autocast_does_not_reach_it() -> None:
    made = network().float()
    x, y = torch.rand(2, 1, 1, 2, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = made(x.bfloat16().float(), y.bfloat16().float())
    torch.testing.assert_close(inside, made(x.bfloat16().float(), y.bfloat16().float()), rtol=0, atol=0)


def test_slices_that_are_too_small_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"perceptual-shape.*\(8, 32\)"):
        network().float()(torch.rand(1, 1, 2, 8, 32), torch.rand(1, 1, 2, 8, 32))
