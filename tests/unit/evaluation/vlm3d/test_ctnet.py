"""CT-Net against its parts by hand and MONAI's ResNet-18; it was equal to the challenge's own code."""

import pytest
import torch
from torch.nn import functional

from medsyn2.errors import WeightsError
from medsyn2.evaluation.vlm3d.ctnet import CTNet, CTNetExtractor, build_ctnet
from medsyn2.weights.tensors import save_component
from tests.unit.evaluation.features.test_resnet import randomised
from tests.unit.evaluation.vlm3d.test_inputs import ramps, volume

SLICES, SIDE = 6, 168


@pytest.fixture(scope="module")
def network():
    return randomised(CTNet(SLICES, SIDE))


def test_triplets_pass_monai_s_resnet_and_the_layers_after_it(network):
    from monai.networks.nets import resnet18

    reference = resnet18(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, shortcut_type="B", feed_forward=False)
    names = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    state = {}
    for name, tensor in network.features.state_dict().items():
        first, _, rest = name.partition(".")
        state[f"{names[first]}.{rest}"] = tensor
    for stage in (2, 3, 4):  # the only bias of MONAI's
        state[f"layer{stage}.0.downsample.0.bias"] = torch.zeros(64 * 2 ** (stage - 1))
    reference.load_state_dict(state, strict=False)
    ct = torch.rand(SLICES, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = network.features(ct.reshape(SLICES // 3, 3, SIDE, SIDE))
        pooled = reference.eval()(ct.reshape(SLICES // 3, 3, SIDE, SIDE))
        torch.testing.assert_close(maps.mean((2, 3)), pooled, rtol=1e-4, atol=1e-4)
        x = maps[None]
        for conv, stride in ((0, (3, 1, 1)), (2, (3, 1, 1)), (4, (3, 2, 2))):
            layer = network.reducingconvs[conv]
            x = functional.relu(functional.conv3d(x, layer.weight, layer.bias, stride=stride))
        for place in (0, 3):
            x = functional.relu(network.classifier[place](x.flatten(1)))
    torch.testing.assert_close(network(ct), x[0])


def test_the_published_network_has_the_published_sizes():
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in CTNet().state_dict().items()}
    assert shapes["features.0.weight"] == (64, 3, 7, 7)
    assert shapes["reducingconvs.0.weight"] == (64, 134, 3, 3, 3)
    assert shapes["classifier.0.weight"] == (128, 7200)
    assert shapes["classifier.6.bias"] == (18,)
    assert len([name for name in shapes if name.startswith("features")]) == 120


def test_an_extractor_needs_every_tensor(network, tmp_path):
    sizes = {"slices": SLICES, "side": SIDE}
    save_component(tmp_path / "ct-net.json", network, kind="ct-net", config=sizes)
    found = CTNetExtractor(tmp_path / "ct-net.json", "cpu")(volume(ramps()))
    assert found.shape == (96,)
    state = network.state_dict()
    del state["classifier.0.bias"]
    with pytest.raises(WeightsError, match=r"classifier\.0\.bias"):
        build_ctnet(state, source="cut", **sizes)
