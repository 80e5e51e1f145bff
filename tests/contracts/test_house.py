"""The house keeps its shape: small modules and functions, no circles, plain words."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house", ROOT / "benchmarks/house.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.measure_house()


def test_modules_and_functions_are_small(house) -> None:
    assert house.longest_file <= 400
    assert house.body_p50 <= 7
    assert house.body_p90 <= 20


def test_no_modules_import_one_another(house) -> None:
    assert house.circles == []


def test_docstrings_and_names_are_plain(house) -> None:
    assert house.what_per_1000 <= 1.5
    assert house.participle_names <= 0.02


@pytest.mark.parametrize("name", ["shown_table", "_drawn", "lightly_smoothed", "without"])
def test_a_participle_is_found(name: str) -> None:
    spec = importlib.util.spec_from_file_location("house", ROOT / "benchmarks/house.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.is_participle(name)
    assert not module.is_participle("apply_mask")
