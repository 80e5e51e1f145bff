"""Preparation at the paper's grid: time and peak memory of each stage on a folder of native CTs.

    python benchmarks/paper_grid.py FOLDER
    python benchmarks/paper_grid.py FOLDER --inspect

Runs inventory, template, register, segment and masks at 448 x 448 x 448 and 0.7 mm on one core a job, and
prints what Snakemake measured of each job. With --inspect, only looks at each CT as the inventory does.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from math import prod
from pathlib import Path

from medsyn2.cohort.volumes import inspect_case

ROOT = Path(__file__).parents[1]
STAGES = ("inventory", "template", "register", "segment", "masks")


def prepare(cts: Path, folder: Path) -> None:
    """Run the workflow as far as the masks."""
    override = folder / "override.yaml"
    override.write_text(
        "grid: {shape: [448, 448, 448], spacing_mm: [0.7, 0.7, 0.7]}\n"
        f"cohort: {{data_dir: {cts.resolve()}, shard_size: 64}}\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "1", "--quiet"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--directory", folder]
    command += ["--configfile", ROOT / "config.yaml", override, "--", "results/masks/0000.json"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(command, check=True, env=environment)


def time_inspection(cts: Path) -> None:
    """Print the CPU seconds of the inventory's look at each CT."""
    for path in sorted(cts.glob("*.nii.gz")):
        begin_s = time.process_time()
        facts = inspect_case(path, None, "detect")
        took_s, mvoxels = time.process_time() - begin_s, prod(facts.shape) / 1e6
        print(f"{path.name:<40} {mvoxels:6.1f} million voxels {took_s:6.2f} s {took_s / mvoxels:7.4f} s each")


def main() -> None:
    """Print a line a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cts", type=Path, metavar="FOLDER", help="folder of NIfTI files")
    parser.add_argument("--inspect", action="store_true", help="time the inventory's look at each CT alone")
    arguments = parser.parse_args()
    if arguments.inspect:
        time_inspection(arguments.cts)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(arguments.cts, folder)
        print(f"{'stage':<12} {'seconds':>8} {'CPU s':>8} {'peak MB':>8}")
        for stage in STAGES:
            for path in sorted(
                [*folder.glob(f"logs/benchmarks/{stage}*.tsv"), *folder.glob(f"logs/benchmarks/{stage}/*.tsv")]
            ):
                with path.open(encoding="utf-8") as file:
                    row = next(csv.DictReader(file, delimiter="\t"))
                cost = (float(row[name]) for name in ("s", "cpu_time", "max_rss"))
                print("{:<12} {:>8.1f} {:>8.1f} {:>8.0f}".format(stage, *cost))


if __name__ == "__main__":
    main()
