"""Imports point down, and the light modules stay light."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
SHARED = ("features", "similarity", "statistics", "held_out", "segmentation", "case_rows")


def test_import_linter_keeps_every_contract() -> None:
    script = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([script, "--no-cache"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout


def test_an_evaluation_imports_no_other_and_no_shared_part_imports_one() -> None:
    graph = grimp.build_graph("medsyn2")
    parts = graph.find_children("medsyn2.evaluation")
    rooms = parts - {f"medsyn2.evaluation.{name}" for name in SHARED}
    assert len(rooms) > 5
    crossing = {
        (importer, room)
        for room in rooms
        for importer in parts - {room}
        if graph.direct_import_exists(importer=importer, imported=room, as_packages=True)
    }
    assert crossing == set()


@pytest.mark.parametrize(
    "module",
    [
        "medsyn2",
        "medsyn2.config",
        "medsyn2.stages",
        "medsyn2.cohort.plan",
        "medsyn2.evaluation.fidelity.memory",
        "medsyn2.cli",
    ],
)
def test_importing_it_brings_in_nothing_heavy(module: str) -> None:
    heavy = {"torch", "numpy", "monai", "transformers", "pandas", "zarr", "nibabel", "SimpleITK"}
    code = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("folder", ["nn", "flow"])
def test_networks_and_flow_run_from_a_checkout_with_torch_alone(folder: str) -> None:
    modules = sorted(path.stem for path in (ROOT / "medsyn2" / folder).glob("*.py") if path.stem != "__init__")
    blocked = ["jaxtyping", "numpy.typing", "pydantic", "yaml", "safetensors", "transformers", "monai", "scipy", "tqdm"]
    code = "import sys; sys.modules.update(dict.fromkeys({!r})); {}".format(
        blocked, "; ".join(f"import medsyn2.{folder}.{module}" for module in modules)
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stderr
