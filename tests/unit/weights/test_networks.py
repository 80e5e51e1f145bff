"""Networks come back from their files as they were."""

import pytest
import torch

from medsyn2.errors import WeightsError
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.transformer.dit import DiT
from medsyn2.weights.model_folder import DIT, TOKENIZER
from medsyn2.weights.networks import load_dit, load_tokenizer
from medsyn2.weights.tensors import save_component


def test_networks_come_back_ready_for_inference(tiny_model):
    for network in (load_dit(tiny_model / DIT), load_tokenizer(tiny_model / TOKENIZER, torch.device("cpu"))):
        assert not network.training
    with pytest.raises(WeightsError, match="expected a 'dit'"):
        load_dit(tiny_model / TOKENIZER)


@pytest.mark.parametrize(
    ("network", "load"),
    [
        (DiT(latent_channels=2, text_width=8, width=12, depth=1, num_heads=2, patch=(2, 2, 2)), load_dit),
        (CausalVideoVAE(4, (1, 1, 1, 1), norm_groups=2), load_tokenizer),
    ],
    ids=["dit", "tokenizer"],
)
def test_a_networks_config_builds_an_equal_one(network, load, tmp_path):
    kind = "dit" if load is load_dit else "tokenizer"
    save_component(tmp_path / "a.json", network, kind=kind, config=network.config)
    again = load(tmp_path / "a.json")
    assert again.config == network.config
    state = again.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
