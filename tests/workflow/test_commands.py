"""Every command line of the README, the docs, the configurations and the profiles can be planned as it stands."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from medsyn2.evaluation.augmentation.slice_set import IMAGES, MASKS

from .conftest import ROOT

PLACES = ("README.md", "docs/**/*.md", "config/README.md", "config.yaml", "configs/*.yaml", "profiles/*/profile.yaml")
CHECKOUT = ("Snakefile", "config.yaml", "configs", "envs", "profiles", "workflow")
COMMAND = re.compile(r"(?:^(?:# *)?|`)(snakemake -[^\n`#]*)", re.M)
COMMANDS = sorted(
    {
        command.strip()
        for place in PLACES
        for path in ROOT.glob(place)
        for command in COMMAND.findall(path.read_text("utf-8"))
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with everything that the commands speak of, as far as planning looks at it."""
    folder = tmp_path_factory.mktemp("commands")
    for name in CHECKOUT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / "mine.yaml").write_text("sampling: {num_steps: 4}\n", encoding="utf-8")
    paper = yaml.safe_load((ROOT / "configs/paper.yaml").read_text("utf-8"))
    named = [path for key, paths in paper["cohort"].items() if key.endswith(("_csv", "_txt")) for path in paths]
    named += [paper["train_tokenizer"][key] for key in ("initial_weights", "perceptual_weights")]
    slices = paper["evaluate_augmentation"]["public"]
    named += [f"{slices['folder']}/{name}" for name in (IMAGES, MASKS)] + [slices["split"]]
    named.append(f"{paper['encode_text']['encoder_dir']}/config.json")
    volumes = [f"cts/{name}.nii.gz" for name in "abcdefgh"]
    for name in ("train_1_a_1", "valid_1_a_1", "valid_2_a_1"):
        volumes.append(f"{paper['cohort']['data_dir']}/{name}.nii.gz")
    for name in (*named, *volumes):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_written_down_can_be_planned(command: str, folder: Path) -> None:
    words = shlex.split(command.replace("/my/cts", "cts").replace("medsyn2/Snakefile", "Snakefile"))
    if "--workflow-profile" in words:
        index = words.index("--workflow-profile")
        plugin = f"snakemake_executor_plugin_{Path(words[index + 1]).name}"
        if importlib.util.find_spec(plugin) is None:
            del words[index : index + 2]
            words[1:1] = ["--cores", "2"]
    planned = [sys.executable, "-m", "snakemake", "-n", *words[1:]]
    result = subprocess.run(planned, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    assert "Job stats" in result.stdout + result.stderr
