"""The dry run of the whole of CT-RATE: CPU seconds and peak memory of `snakemake -n` for 25,692 scans.

    python benchmarks/dry_run.py
    python benchmarks/dry_run.py paper official
    python benchmarks/dry_run.py --slices 300

Makes a folder that looks like CT-RATE as it is downloaded, with the other files that the configurations name (all
empty: the dry run opens no volume), and plans the configurations on it, by default configs/paper.yaml. The first dry
run of a configuration also plans its jobs, in a process of its own; the second finds them. The third is that of a job
on a cluster, which parses the workflow too and finds the cohort that its run started with. Each is also given as a
multiple of the dry run of a workflow of one rule, run before and after it, which is the start of Snakemake alone: CPU
seconds of hosts, and of one host at different hours, differ threefold.

With --slices each scan is a folder of so many DICOM slices, which are links to one file: 300 of them take a minute or
two to make. The first dry run then opens one slice of each study, too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medsyn2.cohort.input_files import input_files
from medsyn2.cohort.plan import plan_run
from medsyn2.config import Config, load_config

NUM_SCANS = 25_692
NUM_VALID = 1_564
ROOT = Path(__file__).parents[1]
JOB = ("--mode", "remote", "--nolock", "--target-jobs", "inventory:shard=0000", "--allowed-rules", "inventory")
"""How an executor of Snakemake's starts a job on another machine."""


def config_files(*names: str) -> list[Path]:
    """Return the files of configs/ with these names."""
    return [ROOT / f"configs/{name}.yaml" for name in names]


def make_stand_in(folder: Path, config: Config, num_scans: int, num_slices: int = 0) -> None:
    """Make the files that `config` names below `folder`: volumes of `num_scans` scans, tables, lists, an encoder.

    Args:
        num_slices: DICOM slices of each scan; without any, a scan is a .nii.gz.
    """
    assert config.cohort.data_dir is not None
    assert config.encode_text.encoder_dir is not None
    for index in range(num_scans):
        split = "valid" if index < NUM_VALID * num_scans // NUM_SCANS else "train"
        scan = folder / config.cohort.data_dir / f"{split}_fixed/{split}_{index}/{split}_{index}_a/{split}_{index}_a_1"
        if num_slices:
            _make_study(scan, index, num_slices)
        else:
            _write(scan.with_name(f"{scan.name}.nii.gz"), "")
    for file in input_files(config):
        _write(folder / file.path, "VolumeName\n" if file.path.suffix == ".csv" else "")
    _write(folder / config.encode_text.encoder_dir / "config.json", "{}")


def _make_study(folder: Path, patient: int, num_slices: int) -> None:
    """Make a folder of slices that say whose they are and hold no pixels."""
    first = Dataset()
    first.file_meta = FileMetaDataset()
    first.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    first.SOPClassUID, first.Modality = CTImageStorage, "CT"
    first.SOPInstanceUID = first.StudyInstanceUID = f"1.2.{patient}"
    first.PatientID = str(patient)
    folder.mkdir(parents=True)
    first.save_as(folder / "0.dcm", enforce_file_format=True)
    for index in range(1, num_slices):
        (folder / f"{index}.dcm").hardlink_to(folder / "0.dcm")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Cost:
    """What a dry run took, with the processes that it started."""

    cpu_s: float
    peak_mb: float
    times_a_start: float  # As a multiple of Snakemake's start, on the same host in the same minute

    def __str__(self) -> str:
        return f"{self.cpu_s:.1f} CPU s, {self.peak_mb:.0f} MB, {self.times_a_start:.1f} times the start of Snakemake"


def start(folder: Path, configs: list[Path]) -> None:
    """Keep the cohort of `folder` as the start of a run does."""
    with chdir(folder):
        plan_run(load_config(ROOT / "config.yaml", *configs)).save()


def plan(folder: Path, configs: list[Path], *words: str) -> Cost:
    """Dry-run the workflow on `folder` and return the cost."""
    (folder / "one_rule").write_text("rule all:\n    shell: 'true'\n", encoding="utf-8")
    alone = ["-s", folder / "one_rule"]
    arguments = ["-s", ROOT / "Snakefile", "--configfile", ROOT / "config.yaml", *configs, *words]
    (before, _), (cpu_s, peak_mb), (after, _) = (
        _dry_run(folder, [str(word) for word in words]) for words in (alone, arguments, alone)
    )
    return Cost(cpu_s, peak_mb, 2 * cpu_s / (before + after))


def _dry_run(folder: Path, arguments: list[str]) -> tuple[float, float]:
    """Return CPU seconds and peak megabytes of a dry run with the processes that it started."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "--cores", "2", *arguments]
    command += ["--directory", str(folder), "--", "all"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=["paper"], help="configuration of configs/")
    parser.add_argument("--slices", type=int, default=0, metavar="N", help="DICOM slices of a scan; 0 makes .nii.gz")
    parser.add_argument("--scans", type=int, default=NUM_SCANS, metavar="N", help="number of scans")
    arguments = parser.parse_args()
    configs = config_files(*arguments.names)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_stand_in(folder, load_config(*configs), arguments.scans, arguments.slices)
        first, second = plan(folder, configs), plan(folder, configs)
        start(folder, configs)
        job = plan(folder, configs, *JOB)
    print(f"dry run of {arguments.scans} scans: {second}")
    print(f"the first one, which plans the jobs: {first}")
    print(f"one in a job of a run: {job}")


if __name__ == "__main__":
    main()
