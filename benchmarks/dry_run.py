"""The dry run of the whole of CT-RATE: CPU seconds and peak memory of `snakemake -n` for 25,692 scans.

    python benchmarks/dry_run.py

Makes a folder with CT-RATE's names (empty files: the dry run opens none), and plans configs/paper.yaml on it. The first
dry run of a configuration also plans its jobs, in a process of its own; the second finds them, as every job on a
cluster does.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

NUM_SCANS = 25_692
NUM_VALID = 1_564
ROOT = Path(__file__).parents[1]


def make_names(folder: Path, num_scans: int) -> None:
    """Make `num_scans` empty files in CT-RATE's nested folders."""
    for index in range(num_scans):
        split = "valid" if index < NUM_VALID * num_scans // NUM_SCANS else "train"
        place = folder / f"{split}_fixed" / f"{split}_{index}" / f"{split}_{index}_a"
        place.mkdir(parents=True)
        (place / f"{split}_{index}_a_1.nii.gz").touch()


def prepare(folder: Path) -> Path:
    """Write what the configuration names beside the files, and return the configuration's last file."""
    tables = {f"{kind}_csv": f"{folder}/{kind}.csv" for kind in ("reports", "labels", "metadata")}
    for table in tables.values():
        Path(table).write_text("VolumeName\n")
    Path(folder, "no_chest.txt").write_text("")
    Path(folder, "encoder").mkdir()
    Path(folder, "encoder/config.json").write_text("{}")
    override = folder / "override.yaml"
    cohort = {"data_dir": str(folder), "exclude_txt": f"{folder}/no_chest.txt", **tables}
    override.write_text(json.dumps({"cohort": cohort, "encode_text": {"encoder_dir": f"{folder}/encoder"}}))
    return override


def plan(folder: Path, override: Path) -> str:
    """Dry-run the workflow on `folder` and return what it cost, with the processes that it started."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--cores", "2", "-s", ROOT / "Snakefile"]
    command += ["--configfile", ROOT / "config.yaml", ROOT / "configs/paper.yaml", override]
    command += ["--directory", folder, "--", "all"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    return f"{used.ru_utime + used.ru_stime:.1f} CPU s, {used.ru_maxrss / 1024:.0f} MB"


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_names(folder, NUM_SCANS)
        override = prepare(folder)
        first, second = plan(folder, override), plan(folder, override)
    print(f"dry run of {NUM_SCANS} scans: {second}")
    print(f"the first one, which plans the jobs: {first}")


if __name__ == "__main__":
    main()
