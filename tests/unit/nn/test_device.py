import pytest
import torch

from medsyn2.errors import ConfigError
from medsyn2.nn.device import available_device


def test_a_device_is_known_by_its_name() -> None:
    assert available_device("cpu") == available_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(("name", "code"), [("gpu", "device-unknown"), ("cuda:99", "device-missing")])
def test_another_name_is_named(name: str, code: str) -> None:
    with pytest.raises(ConfigError, match=rf"{code}.*{name}"):
        available_device(name)
