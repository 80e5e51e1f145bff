"""The whole of configs/paper.yaml on CPUs: every stage, with its measured time and memory beside the plan's.

    python benchmarks/paper_path.py FOLDER --run RUN

FOLDER has five or more chest CTs: the search for copies needs three that are trained on, and a Frechet distance two
that are held out. The grid, the latents, the windows, the tokens, the losses, the tables and their volumes are the
paper's. Widths, depths and numbers of steps are smaller, so that it ends in about an hour on two cores; the first lines
of the output are these reductions. Weights that are downloaded for a real run are random here, in the same layouts and
at full size: the figures of merit mean nothing, the times and the memory do. RUN keeps the results, and a second call
goes on where the first stopped. A stage that finds its results has the time of finding them in the table.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from pathlib import Path

import nibabel
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from medsyn2.commands.plan import all_costs
from medsyn2.config import Config, load_config
from medsyn2.evaluation.augmentation.slice_set import IMAGES, MASKS
from medsyn2.evaluation.features.resnet import KERAS, ResNet50Features
from medsyn2.nn.perceptual import Perceptual
from medsyn2.planning.costs import GB
from medsyn2.planning.speed import this_machine
from medsyn2.planning.workload import workload_of
from medsyn2.vocabulary import ABNORMALITY_LABELS, STRUCTURE_WORDS, STRUCTURES
from medsyn2.weights.tensors import save_component

ROOT = Path(__file__).parents[1]
CONFIGS = (ROOT / "config.yaml", ROOT / "configs/paper.yaml")
# CT-RATE's names decide the split.
NAMES = ("train_1_a_1", "train_2_a_1", "train_3_a_1", "valid_1_a_1", "valid_2_a_1")
FINDINGS = (
    "Trachea and both main bronchi are open. There is a small effusion in the right pleural space.",
    "Consolidation is seen in the lower lobe of the right lung. No effusion is seen.",
    "Calcified plaques are seen in the aorta. Both lungs are clear.",
    "Heart size is normal. No nodule and no consolidation is seen in the lungs.",
    "There is a nodule of 8 mm in the upper lobe of the left lung.",
)
IMPRESSIONS = (
    "Right pleural effusion.",
    "Pneumonia of the right lung.",
    "Calcified aorta.",
    "Normal chest CT.",
    "Pulmonary nodule.",
)
FINDING_OF_LABEL = {"Pleural effusion": (1, 0, 0, 0, 1), "Lung nodule": (0, 0, 1, 1, 0)}
"""Values by case; each label is there once and absent once among the held-out ones, as an AUROC needs."""


@dataclass(frozen=True)
class Row:
    """A stage as it was planned and as it ran, the sum of its jobs."""

    stage: str
    planned_s: float | None  # CPU seconds; of networks, at the speed of this machine; None if nobody measured them
    took_s: float  # CPU seconds
    planned_bytes: float  # The largest job's
    peak_bytes: float  # The largest job's


REDUCTIONS: dict[str, dict[str, object]] = {
    # Widths, depths, steps and resamples.
    "tokenizer": {"hidden_channels": 4, "norm_groups": 2, "num_res_blocks": 1},
    "train_tokenizer": {
        "initial_weights": None,
        "num_steps": 2,
        "gan_start": 1,
        "checkpoint_every": 1,
        "precision": "32-true",
    },
    "dit": {"width": 24, "depth": 2, "num_heads": 1},
    "train_dit": {"num_steps": 1, "warmup_steps": 0, "checkpoint_every": 1, "precision": "32-true"},
    "sampling": {"num_steps": 1},
    "evaluate_fid": {"slices_per_volume": 2, "device": "cpu"},
    "evaluate_augmentation": {"num_steps": 2, "num_seeds": 2, "channels": 8, "max_synthetic": 1},
    # Volumes of one kind: the others take as long.
    "sample": {"structures": ["lobes"], "joint": ["lobes"], "max_cases": 1},
    "evaluate_edits": {"structures": ["airways"], "progressive": ["lobes", "airways"], "num_seeds": 2, "max_cases": 1},
    "evaluate_memorisation": {"num_copies": 1, "num_prompts": 1},
    "evaluate_attention": {"max_cases": 1},
    "evaluate_tokenizer": {"max_cases": 1},
    # Weights of the tools cannot be random.
    "segment": {"tools": dict.fromkeys(STRUCTURES, "classical"), "device": "cpu"},
    # No GPU: mixed precision is refused on CPUs, and one process trains.
    "jobs": {"gpus": {"train_dit": 1}},
}


def prepare(folder: Path, run: Path) -> list[Path]:
    """Lay out cohort, tables and weights as a real run has them, and return the configuration files."""
    cts = sorted(path for path in folder.iterdir() if path.name.endswith((".nii", ".nii.gz")))
    if len(cts) < len(NAMES):
        raise SystemExit(f"{folder} has {len(cts)} CTs (.nii, .nii.gz), expected {len(NAMES)} or more.")
    data = run / "cts"
    data.mkdir(parents=True, exist_ok=True)
    for name, ct in zip(NAMES, cts, strict=False):
        link = data / f"{name}{''.join(ct.suffixes[-2:]) if ct.suffix == '.gz' else ct.suffix}"
        if not link.exists():
            link.symlink_to(ct.resolve())
    write_rows(run / "reports.csv", ("VolumeName", "Findings_EN", "Impressions_EN"), NAMES, FINDINGS, IMPRESSIONS)
    labels = [FINDING_OF_LABEL.get(label, (0,) * len(NAMES)) for label in ABNORMALITY_LABELS]
    write_rows(run / "labels.csv", ("VolumeName", *ABNORMALITY_LABELS), NAMES, *labels)
    cohort = {"data_dir": "cts", "reports_csv": "reports.csv", "labels_csv": "labels.csv"}
    override = {name: dict(values) for name, values in REDUCTIONS.items()}
    override["cohort"] = {**cohort, "metadata_csv": [], "exclude_txt": [], "exclude_dirs": []}
    override["encode_text"] = {"encoder_dir": str(make_text_encoder(run / "weights/text-encoder"))}
    override["evaluate_fid"]["radimagenet"] = str(make_extractor(run / "weights/radimagenet.safetensors"))
    override["train_tokenizer"]["perceptual_weights"] = str(make_perceptual(run / "weights/perceptual.json"))
    make_public_slices(run / "medseg", cts[0])
    override["evaluate_augmentation"]["public"] = {"folder": "medseg", "split": "medseg/split.json"}
    path = run / "reductions.json"
    path.write_text(json.dumps(override, indent=1), encoding="utf-8")
    return [*CONFIGS, path]


def write_rows(path: Path, header: tuple[str, ...], *columns: tuple[object, ...]) -> None:
    """Write a CSV file from its columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *zip(*columns, strict=True)])


def make_text_encoder(folder: Path) -> Path:
    """Write a BERT of CXR-BERT's size, with the words of the reports as its vocabulary."""
    if not (folder / "config.json").exists():
        words = sorted(
            set(" ".join([*FINDINGS, *IMPRESSIONS, *STRUCTURE_WORDS.values()]).lower().replace(".", " ").split())
        )
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *words]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}', encoding="utf-8")
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=len(vocabulary))).save_pretrained(folder)
    return folder


def make_extractor(path: Path) -> Path:
    """Write a ResNet-50 in RadImageNet's layout."""
    if not path.exists():
        torch.manual_seed(0)
        save_file(ResNet50Features(KERAS).state_dict(), path)
    return path


def make_perceptual(path: Path) -> Path:
    """Write a VGG16 as `medsyn2 convert perceptual` leaves it."""
    if not path.exists():
        torch.manual_seed(0)
        save_component(path, Perceptual(), kind="perceptual", config={})
    return path


def make_public_slices(folder: Path, ct: Path) -> None:
    """Write 20 slices of a CT as the public set of 100 has them, with discs in its middle as the findings."""
    if not (folder / "split.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        hu = np.asarray(nibabel.load(ct).dataobj)
        taken = hu[:, :, (np.linspace(0.3, 0.7, 20) * hu.shape[2]).astype(int)]
        x, y = np.indices(taken.shape[:2])
        disc = (np.hypot(x - x.mean(), y - y.mean()) < 40).astype(np.uint8)
        marks = np.broadcast_to(disc[..., None], taken.shape)
        for name, values in ((IMAGES, taken.astype(np.float32)), (MASKS, marks.copy())):
            nibabel.save(nibabel.Nifti1Image(values, np.diag([0.7, 0.7, 1.0, 1.0])), folder / name)
        split = {"train": list(range(0, 20, 2)), "test": list(range(1, 20, 2))}
        (folder / "split.json").write_text(json.dumps(split), encoding="utf-8")


def run_all(configs: list[Path], run: Path, cores: int) -> bool:
    """Run the workflow to the page, as far as it goes, and return whether it ended."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", str(cores)]
    # A thread a job, and jobs side by side: threads of one job wait for each other.
    command += ["--max-threads", "1", "--resources", f"gpu={cores}", "--keep-going"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--directory", run]
    command += ["--configfile", *configs, "--", "all"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, check=False, env=environment).returncode == 0


def rows_of(config: Config, run: Path) -> Iterator[Row]:
    """Yield a row for each stage that ran, in the order of the plan."""
    machine = this_machine()
    for cost in all_costs(config, workload_of(config), has_bf16=machine.has_bf16):
        jobs = list(read_measurements(run, cost.stage))
        if jobs:
            took_s, peaks = sum(float(job["cpu_time"]) for job in jobs), [float(job["max_rss"]) for job in jobs]
            planned_s = None if cost.cpu_s is None else cost.cpu_s + machine.cores * cost.network_s(machine.speed)
            held = cost.memory_bytes + cost.device_bytes
            yield Row(cost.stage, planned_s, took_s, held, max(peaks) * 2**20)


def read_measurements(run: Path, stage: str) -> Iterator[dict[str, str]]:
    """Yield the measurements that Snakemake made of a stage's jobs."""
    logs = run / "logs/benchmarks"
    for path in sorted([*logs.glob(f"{stage}.tsv"), *logs.glob(f"{stage}/*.tsv")]):
        with path.open(encoding="utf-8") as file:
            yield next(csv.DictReader(file, delimiter="\t"))


def print_table(rows: list[Row]) -> None:
    """Print a line a stage: planned and measured CPU seconds and memory, and the measured in units of the planned."""
    print(f"{'stage':<24} {'plan s':>8} {'took s':>8} {'ratio':>6} {'plan GB':>8} {'peak GB':>8} {'ratio':>6}")
    for row in rows:
        planned, ratio = (row.planned_s, row.took_s / row.planned_s) if row.planned_s else (nan, nan)
        times = f"{planned:>8.0f} {row.took_s:>8.0f} {ratio:>6.2f}"
        memory = (
            f"{row.planned_bytes / GB:>8.2f} {row.peak_bytes / GB:>8.2f} {row.peak_bytes / row.planned_bytes:>6.2f}"
        )
        print(f"{row.stage:<24} {times} {memory}")


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cts", type=Path, metavar="FOLDER", help="folder of chest CTs, .nii or .nii.gz")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--cores", type=int, default=2, metavar="N", help="jobs at a time (default: %(default)s)")
    arguments = parser.parse_args()
    run = arguments.run.resolve()
    configs = prepare(arguments.cts, run)
    os.chdir(run)
    config = load_config(*configs)
    print(f"configs/paper.yaml with these reductions:\n{configs[-1].read_text('utf-8')}", flush=True)
    ended = run_all(configs, run, arguments.cores)
    print_table(list(rows_of(config, run)))
    if not ended:
        raise SystemExit("the run did not end: the logs above say where it stopped.")


if __name__ == "__main__":
    main()
