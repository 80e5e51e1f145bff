"""The workflow runs from any folder, with several configuration files, and with its own interpreter."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

SNAKEFILES = ["Snakefile", "workflow/Snakefile"]
PHANTOMS = "results/phantoms/0000.json"


def snakemake(*arguments: str | Path, cwd: Path, path: str = "/usr/bin:/bin") -> str:
    """Run Snakemake by the path of its interpreter, as from an environment that is not activated."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *map(str, arguments)]
    environment = {**os.environ, "PATH": path}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


def num_planned(said: str) -> int:
    """The number of cases of the first shard of phantoms."""
    command = next(line for line in said.splitlines() if "medsyn2 phantoms" in line)
    return command.count('"position"')


@pytest.mark.parametrize("snakefile", SNAKEFILES)
def test_run_folder_elsewhere_needs_no_configuration(snakefile: str, tmp_path: Path) -> None:
    said = snakemake("-s", ROOT / snakefile, "-d", "run", "-n", "all", cwd=tmp_path)
    assert "report" in said.split("Job stats", 1)[1]
    profile = f"Using workflow specific profile {ROOT / 'profiles/default'}"
    assert (profile in said) == (snakefile == "Snakefile")


def test_each_run_folder_has_a_configuration_and_a_cohort_of_its_own(tmp_path: Path) -> None:
    for name, volumes in (("first", "abcde"), ("second", "abcdefg")):
        folder = tmp_path / name / "cts"
        folder.mkdir(parents=True)
        for volume in volumes:
            (folder / f"{volume}.nii.gz").touch()
        (tmp_path / name / "config.yaml").write_text(
            "cohort: {data_dir: cts, test_every: 2, shard_size: 1}\n", encoding="utf-8"
        )
        target = "results/inventory/0000.json"
        said = snakemake("-s", ROOT / "Snakefile", "-d", name, "-n", "-p", "all", "--until", "inventory", cwd=tmp_path)
        assert said.count("medsyn2 inventory") == len(volumes)
        assert target in said


def test_later_files_override_the_run_folder_s_configuration(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("cohort: {num_phantoms: 4, test_every: 2}\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("cohort: {num_phantoms: 6}\n", encoding="utf-8")
    (tmp_path / "last.yaml").write_text("cohort: {num_phantoms: 8}\n", encoding="utf-8")
    run = ("-s", ROOT / "Snakefile", "-d", "run", "-n", "-p")
    until = ("--until", "phantoms")
    assert num_planned(snakemake(*run, "all", *until, cwd=tmp_path)) == 4
    assert num_planned(snakemake(*run, *until, "--configfile=mine.yaml", "all", cwd=tmp_path)) == 6
    assert num_planned(snakemake("all", *run, *until, "--configfile", "mine.yaml", "last.yaml", cwd=tmp_path)) == 8


def test_rules_run_the_interpreter_of_snakemake_and_not_the_first_python_on_the_path(tmp_path: Path) -> None:
    stranger = tmp_path / "bin/python"
    stranger.parent.mkdir()
    stranger.write_text("#!/bin/sh\necho another python >&2\nexit 3\n", encoding="utf-8")
    stranger.chmod(stranger.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "mine.yaml").write_text(
        "cohort: {num_phantoms: 2, test_every: 2, shard_size: 1}\nphantoms: {spacing_mm: 8.0}\n", encoding="utf-8"
    )
    arguments = ("-s", ROOT / "Snakefile", "-d", tmp_path / "run", "--configfile", tmp_path / "mine.yaml", "--")
    snakemake(*arguments, PHANTOMS, cwd=tmp_path, path=f"{stranger.parent}:/usr/bin:/bin")
    manifest = json.loads((tmp_path / "run" / PHANTOMS).read_text("utf-8"))
    assert [record["status"] for record in manifest["cases"]] == ["ok"]


def test_a_home_that_cannot_be_written_to_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "cohort: {num_phantoms: 2, test_every: 2, shard_size: 1}\nphantoms: {spacing_mm: 8.0}\n", encoding="utf-8"
    )
    environment = {**os.environ, "HOME": "/dev/null"}
    environment.pop("XDG_CACHE_HOME", None)
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "-d", "run", "--cores", "1"]
    result = subprocess.run(
        [*map(str, command), "--configfile", "mine.yaml", "-n", "--", PHANTOMS],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]


def test_what_yaml_takes_for_another_thing_is_refused_in_snakemake_s_files_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("cohort:\n  num_phantoms: 010\ntrain_dit:\n#  num_steps: 3\n", encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "-d", "run", "--cores", "1", "-n"]
    result = subprocess.run(
        [*map(str, command), "--configfile", "mine.yaml", "--", "all"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 1
    assert f"{tmp_path / 'mine.yaml'}, line 2: 010 is an octal number in YAML, 8" in result.stdout + result.stderr


def test_another_interpreter_of_the_same_environment_reruns_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "cohort: {num_phantoms: 2, test_every: 2, shard_size: 1}\nphantoms: {spacing_mm: 8.0}\n", encoding="utf-8"
    )
    arguments = ("-s", ROOT / "Snakefile", "-d", tmp_path / "run", "--configfile", tmp_path / "mine.yaml", "--")
    snakemake(*arguments, PHANTOMS, cwd=tmp_path)
    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.copy(ROOT / "Snakefile", clone)
    for name in ("workflow", "profiles", "envs"):
        shutil.copytree(ROOT / name, clone / name)
    shutil.copy(ROOT / "config.yaml", clone)
    moved = ("-s", clone / "Snakefile", *arguments[2:])
    assert "Nothing to be done" in snakemake("-n", *moved, PHANTOMS, cwd=tmp_path)


def test_catalog_finds_the_standard_layout() -> None:
    for name in ("workflow/Snakefile", "config/README.md", ".snakemake-workflow-catalog.yml"):
        assert (ROOT / name).is_file()
    assert "rule all:" in (ROOT / "workflow/Snakefile").read_text("utf-8")
