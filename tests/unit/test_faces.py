"""The faces of packages offer names and load them on first use."""

import subprocess
import sys
from importlib import import_module

import pytest

from medsyn2.faces import lazy

FACES = [
    import_module(f"medsyn2{name}")
    for name in ("", ".ct", ".flow", ".nn.autoencoder", ".nn.transformer", ".pipeline", ".weights")
]


def test_a_name_is_loaded_from_its_module_and_others_are_unknown() -> None:
    load, names = lazy("a.package", {"sqrt": "math", "Path": "pathlib"})
    assert load("sqrt")(9) == 3
    assert names() == ["Path", "sqrt"]
    with pytest.raises(AttributeError, match=r"module 'a\.package' has no attribute 'log'"):
        load("log")


@pytest.mark.parametrize("package", FACES)
def test_every_name_of_a_face_exists(package) -> None:
    assert all(getattr(package, name) is not None for name in package.__all__)
    assert set(package.__all__) <= {*dir(package), "Sampling", "Solver"}


def test_the_face_of_the_flow_brings_in_torch_only_when_it_is_asked_for() -> None:
    code = "import sys; from medsyn2.flow import Sampling; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
