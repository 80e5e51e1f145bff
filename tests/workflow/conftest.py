"""Runs of the real workflow at its smallest size."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")


@dataclass(frozen=True)
class Workflow:
    """The workflow in a folder of its own.

    Attributes:
        folder: Where ``results`` and ``logs`` are.
        configs: Configuration files, later ones over earlier ones.
    """

    folder: Path
    configs: tuple[Path, ...] = (TINY,)

    def command(self, *arguments: str) -> list[str]:
        """The command line of a run."""
        command = [sys.executable, "-m", "snakemake", "--configfile", *map(str, self.configs)]
        command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(self.folder), "--cores", "2"]
        return [*command, "--workflow-profile", str(ROOT / "profiles/default"), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a run: this interpreter first on the path, as an activated environment has it."""
        return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(self, *arguments: str) -> str:
        """Run to the end and return what Snakemake said; a failed run fails the test with its logs."""
        result = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, encoding="utf-8", check=False
        )
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
        return result.stdout + result.stderr

    def planned(self, *targets: str, config: Sequence[str] = ()) -> dict[str, set[str]]:
        """Dry-run, and return the shards that each rule would run for (an empty set where it has none)."""
        extra = ["--config", *config] if config else []
        return shards_by_rule(self.run("-n", *extra, "--", *(targets or ["all"])))


def shards_by_rule(text: str) -> dict[str, set[str]]:
    """The shards of the jobs of each rule, by what Snakemake said of a run or a dry run."""
    found: dict[str, set[str]] = {}
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n(.*?)(?=\n\[|\nJob stats|\Z)", text, re.M | re.S):
        shards = re.findall(r"wildcards: shard=(\d+)", block)
        found.setdefault(rule, set()).update(shards)
    found.pop("all", None)
    return found
