"""The dry run of the whole of CT-RATE: CPU seconds and peak memory of `snakemake -n` for 25,692 scans.

    python benchmarks/dry_run.py

Makes a folder with CT-RATE's names (empty files: the dry run opens none), and plans configs/paper.yaml on it.
"""

import json
import resource
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


def plan(folder: Path) -> dict[str, float]:
    """Dry-run the workflow on `folder` and return what it cost."""
    tables = {f"{kind}_csv": f"{folder}/{kind}.csv" for kind in ("reports", "labels", "metadata")}
    for table in tables.values():
        Path(table).write_text("VolumeName\n")
    Path(folder, "no_chest.txt").write_text("")
    Path(folder, "encoder").mkdir()
    Path(folder, "encoder/config.json").write_text("{}")
    override = folder / "override.yaml"
    cohort = {"data_dir": str(folder), "exclude_txt": f"{folder}/no_chest.txt", **tables}
    override.write_text(json.dumps({"cohort": cohort, "encode_text": {"encoder_dir": f"{folder}/encoder"}}))
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--cores", "2", "-s", ROOT / "Snakefile"]
    command += ["--configfile", ROOT / "config.yaml", ROOT / "configs/paper.yaml", override]
    command += ["--directory", folder, "--", "all"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        make_names(Path(folder), NUM_SCANS)
        cost = plan(Path(folder))
    print(f"dry run of {NUM_SCANS} scans: {cost['cpu_s']:.1f} CPU s, {cost['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()
