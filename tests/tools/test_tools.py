"""The real lungmask and TotalSegmentator, through the workflow's rules, beside their own command lines.

``make test-tools`` makes their environment and runs this. Their weights cannot be assumed, so small networks in the
tools' own layout take their place (``make_weights.py``): what is tested is that we run the tools as they run
themselves, voxel for voxel, on a real CT where there is one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from medsyn2.ct.geometry import isotropic
from medsyn2.ct.nifti.files import read_ct, read_labels, write_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.facts import MasksFacts, SegmentFacts
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.store.artefacts import load_manifest
from medsyn2.vocabulary import LOBES
from medsyn2.weights.checks import add_checksums

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parents[2]
SPACING_MM = 5.0
STRUCTURES = ["airways", "vessels", "heart", "pleural_effusion", "pericardial_effusion"]

Facts = TypeVar("Facts")


@pytest.fixture(scope="session")
def python() -> Path:
    """The Python that has the tools."""
    path = os.environ.get("MEDSYN2_TOOLS_PYTHON")
    if not path or not Path(path).exists():
        pytest.skip("MEDSYN2_TOOLS_PYTHON names no Python with the tools: run `make test-tools`")
    return Path(path)


@pytest.fixture(scope="session")
def weights(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small networks, listed as this site's own."""
    folder = tmp_path_factory.mktemp("weights")
    script = Path(__file__).with_name("make_weights.py")
    subprocess.run([python, script, folder], check=True)
    add_checksums(folder, [path for path in folder.rglob("*") if path.is_file()])
    return folder


@pytest.fixture(scope="session")
def ct(real_cts: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest of the real CTs, or a phantom where they are absent, on a coarse grid."""
    folder = tmp_path_factory.mktemp("cts")
    files = sorted(real_cts, key=lambda path: path.stat().st_size)
    subject = draw_subject(0, 3)
    volume = read_ct(files[0]) if files else scan(subject, draw_acquisition(subject, 3.0)).volume
    write_ct(folder / "chest.nii.gz", isotropic(volume, SPACING_MM))
    return folder / "chest.nii.gz"


@pytest.fixture(scope="session")
def segmented(python: Path, weights: Path, ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the rules from the CT to its masks."""
    folder = tmp_path_factory.mktemp("run")
    tools = {"lobes": "lungmask", **dict.fromkeys(STRUCTURES, "totalsegmentator")}
    values = {
        "cohort": {"data_dir": str(ct.parent)},
        "template": {"num_cases": 1, "num_rounds": 1},
        "segment": {
            "tools": {**dict.fromkeys(["nodules", "ground_glass", "consolidation"]), **tools},
            "weights_dir": str(weights),
            "python": {"lungmask": str(python), "totalsegmentator": str(python)},
            "device": "cpu",
            "time_limit_s": 3600,
        },
    }
    (folder / "mine.yaml").write_text(json.dumps(values), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder]
    command += ["--workflow-profile", ROOT / "profiles/default", "--cores", "1"]
    command += ["--configfile", ROOT / "config.yaml", folder / "mine.yaml", "--", "results/masks/0000.json"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    logs = "".join(path.read_text("utf-8")[-3000:] for path in folder.glob("logs/segment/*.log"))
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:] + logs
    return folder


def facts_of(folder: Path, stage: str, kind: type[Facts]) -> Facts:
    [record] = load_manifest(folder / f"results/{stage}/0000.json", kind).records.values()
    return record.facts


def labels_of(folder: Path, structure: str, names: dict[int, str]) -> np.ndarray:
    return read_labels(folder / f"results/segment/0000/chest/{structure}.nii.gz", names).labels


def test_each_structure_has_a_map_by_its_tool_and_version(segmented: Path) -> None:
    found = facts_of(segmented, "segment", SegmentFacts).structures
    assert {name: made.tool for name, made in found.items()} == {
        "lobes": "lungmask",
        **dict.fromkeys(STRUCTURES, "totalsegmentator"),
    }
    assert found["lobes"].versions == {"lungmask": "0.2.22"}
    assert found["heart"].versions["TotalSegmentator"] == "2.18.0"


def test_the_maps_are_what_the_networks_were_made_to_find(segmented: Path, ct: Path) -> None:
    volume: CTVolume = read_ct(ct)
    lobes = labels_of(segmented, "lobes", LOBES)
    assert lobes.shape == volume.shape
    assert (volume.hu[lobes > 0] < -400).mean() > 0.9
    assert len(np.unique(lobes)) > 2
    heart = labels_of(segmented, "heart", {1: "heart"})
    assert (volume.hu[heart > 0] > -50).mean() > 0.95
    assert heart.any()
    pleural = labels_of(segmented, "pleural_effusion", {1: "pleural_effusion"})
    assert np.median(volume.hu[pleural > 0]) == pytest.approx(20, abs=30)


def test_masks_are_made_of_them(segmented: Path) -> None:
    states = facts_of(segmented, "masks", MasksFacts).states
    assert states["lobes"] == states["heart"] == states["vessels"] == "present"
    assert states["nodules"] == "absent"


def test_lungmask_is_equal_to_its_command_line(
    segmented: Path, python: Path, weights: Path, ct: Path, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "torch/hub/checkpoints"
    checkpoints.parent.mkdir(parents=True)
    checkpoints.symlink_to(weights / "lungmask")
    command = [python.with_name("lungmask"), ct, tmp_path / "out.nii.gz", "--modelname", "LTRCLobes_R231"]
    environment = {**os.environ, "TORCH_HOME": str(tmp_path / "torch")}
    subprocess.run([*command, "--cpu", "--noprogress"], check=True, env=environment)
    reference = read_labels(tmp_path / "out.nii.gz", LOBES).labels
    np.testing.assert_array_equal(labels_of(segmented, "lobes", LOBES), reference)


@pytest.mark.parametrize(
    ("arguments", "structure", "name"),
    [(["-ta", "total", "-rs", "heart"], "heart", "heart"), (["-ta", "lung_vessels_LEGACY"], "vessels", "lung_vessels")],
    ids=["total", "lung_vessels"],
)
def test_totalsegmentator_is_equal_to_its_command_line(
    segmented: Path,
    python: Path,
    weights: Path,
    ct: Path,
    tmp_path: Path,
    arguments: list[str],
    structure: str,
    name: str,
) -> None:
    folder, home = tmp_path / "weights", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    for dataset in (weights / "totalsegmentator").iterdir():
        (folder / dataset.name).symlink_to(dataset)
    query = (
        "from totalsegmentator.map_tasks_config import *; from totalsegmentator.map_to_binary import class_map; "
        "import json; print(json.dumps([[TASK_ID_WEIGHTS_CONFIGS[i]['foldername'] for i in "
        "TASK_CONFIGS['total']['sub_modes']['default']['task_id']], "
        f"class_map[{arguments[1]!r}]]))"
    )
    answer = subprocess.run([python, "-c", query], check=True, capture_output=True, encoding="utf-8")
    parts, labels = json.loads(answer.stdout)
    for part in parts:  # the command line wants all parts to be there, and reads the one with the heart
        (folder / part).mkdir(exist_ok=True)
    (home / "config.json").write_text(
        '{"totalseg_id": "test", "send_usage_stats": false, "prediction_counter": 0}', encoding="utf-8"
    )
    command = [python.with_name("TotalSegmentator"), "-i", ct, "-o", tmp_path / "out.nii.gz", "--ml", "-q"]
    environment = {**os.environ, "TOTALSEG_WEIGHTS_PATH": str(folder), "TOTALSEG_HOME_DIR": str(home)}
    subprocess.run([*command, *arguments, "-d", "cpu", "-ns", "1"], check=True, env=environment)
    names = {int(label): word for label, word in labels.items()}
    reference = read_labels(tmp_path / "out.nii.gz", names).binary(name)
    np.testing.assert_array_equal(labels_of(segmented, structure, {1: structure}) > 0, reference)
