"""The dry run of the whole of CT-RATE: CPU seconds and peak memory of `snakemake -n` for 25,692 scans.

    python benchmarks/dry_run.py
    python benchmarks/dry_run.py paper official

Makes a folder that looks like CT-RATE as it is downloaded, with the other files that the configurations name (all
empty: the dry run opens no volume), and plans the configurations on it, by default configs/paper.yaml.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from medsyn2.cohort.given_files import given_files
from medsyn2.config import Config, load_config

NUM_SCANS = 25_692
NUM_VALID = 1_564
ROOT = Path(__file__).parents[1]


def config_files(*names: str) -> list[Path]:
    """Return the files of configs/ with these names."""
    return [ROOT / f"configs/{name}.yaml" for name in names]


def make_stand_in(folder: Path, config: Config, num_scans: int) -> None:
    """Make the files that `config` names below `folder`: volumes of `num_scans` scans, tables, lists, an encoder."""
    assert config.cohort.data_dir is not None
    assert config.encode_text.encoder_dir is not None
    for index in range(num_scans):
        split = "valid" if index < NUM_VALID * num_scans // NUM_SCANS else "train"
        scan = Path(f"{split}_fixed/{split}_{index}/{split}_{index}_a/{split}_{index}_a_1.nii.gz")
        _write(folder / config.cohort.data_dir / scan, "")
    for file in given_files(config):
        _write(folder / file.path, "VolumeName\n" if file.path.suffix == ".csv" else "")
    _write(folder / config.encode_text.encoder_dir / "config.json", "{}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def plan_command(folder: Path, configs: list[Path], *targets: str) -> list[str]:
    """Return the command of a dry run in `folder`."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--cores", "2", "-s", str(ROOT / "Snakefile")]
    command += ["--configfile", str(ROOT / "config.yaml"), *map(str, configs)]
    return [*command, "--directory", str(folder), "--", *(targets or ["all"])]


def main() -> None:
    """Print the figures."""
    configs = config_files(*(sys.argv[1:] or ["paper"]))
    with tempfile.TemporaryDirectory() as folder:
        make_stand_in(Path(folder), load_config(*configs), NUM_SCANS)
        subprocess.run(plan_command(Path(folder), configs), check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s, peak_mb = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"dry run of {NUM_SCANS} scans: {cpu_s:.1f} CPU s, {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
