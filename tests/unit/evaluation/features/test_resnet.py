"""Both forms of ResNet-50 against MONAI's, whose details are set by hand for the Keras form."""

import pytest
import torch

from medsyn2.evaluation.features.resnet import KERAS, TORCH, ResNet50Features, ResNetForm


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if "running_var" in name:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.is_floating_point():
            fan_in = tensor[0].numel() if tensor.ndim == 4 else 10
            tensor.copy_(torch.randn(tensor.shape, generator=generator) / fan_in**0.5 + ("bn" in name) * 0.3)
    return network


def by_monai(ours: ResNet50Features, form: ResNetForm) -> torch.nn.Module:
    """MONAI's network with our tensors; biases go into the means of the normalisation behind them."""
    from monai.networks.nets import resnet50

    reference = resnet50(
        spatial_dims=2, n_input_channels=3, conv1_t_stride=2, shortcut_type="B", feed_forward=False
    ).eval()
    state = dict(ours.state_dict())
    for name in [name for name in state if name.endswith(".bias") and "conv" in name]:
        norm = name.replace("conv", "bn").replace(".bias", ".running_mean")
        state[norm] = state[norm] - state.pop(name)
    for name in [name for name in state if name.endswith("downsample.0.bias")]:
        norm = name.replace("0.bias", "1.running_mean")
        state[norm] = state[norm] - state.pop(name)
    for stage in range(1, 5):  # the only bias of MONAI's
        state[f"layer{stage}.0.downsample.0.bias"] = torch.zeros(64 * 2 ** (stage + 1))
    reference.load_state_dict(state)
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = form.epsilon
        if form.stride_first and hasattr(module, "conv3"):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride
    return reference


@pytest.mark.parametrize("form", [KERAS, TORCH], ids=lambda form: form.name)
def test_features_equal_monai(form: ResNetForm) -> None:
    ours = randomised(ResNet50Features(form))
    images = torch.rand(2, 3, 70, 85, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = by_monai(ours, form)(images)
    torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-4)
    assert ours(images).shape == (2, 2048)


def test_forms_are_not_interchangeable() -> None:
    keras, torch_form = (set(ResNet50Features(form).state_dict()) for form in (KERAS, TORCH))
    assert keras - torch_form
    assert all(name.endswith("bias") for name in keras - torch_form)
