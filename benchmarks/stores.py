"""Measure how fast latents and embeddings are written and read, from cold and from warm disk, against a training step.

    OMP_NUM_THREADS=1 python benchmarks/stores.py
    OMP_NUM_THREADS=1 python benchmarks/stores.py --config configs/paper.yaml --cases 256 --folder /scratch/stores

A sample is the most that one position of the training reads, in the mode `both`: the latents of a volume and of a
mask and the embeddings of a full report, checksums compared, normalised in float32 and put together as a batch, by
the same code that trains. Cases of random numbers are written into a temporary folder (12 MB each at the paper's
size) by the writers and the commit protocol of the stages. Each case is read once a pass, in the order of an
epoch. Before a cold pass the kernel is told to forget the files, which are on the disk by then (posix_fadvise);
whether the disk has a memory of its own is not seen from here.

The need of the training is an upper bound: the operations of one sample's step, counted from the networks' shapes, at
the peak of the device (989 TFLOP/s in bfloat16: H200, NVIDIA's data sheet); a real step is slower, and needs less.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from medsyn2.config import load_config
from medsyn2.planning.description import describe
from medsyn2.reports.prompts import all_prompts
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.store.latents import write_latents
from medsyn2.store.text_embeddings import write_report
from medsyn2.training.dit.conditions import ConditionedLatents, TrainingCase
from medsyn2.training.engine.loop import prefetch_batches
from medsyn2.vocabulary import STRUCTURES
from medsyn2.weights.model_folder import ChannelStatistics

PEAK_FLOPS_PER_S = 989e12
STATISTICS = ChannelStatistics((0.0,) * 4, (1.0,) * 4)
BOTH = (0.0, 0.0, 1.0, 0.0)
MASKS = STRUCTURES[:3]
WIDTH = 768


def write_cases(folder: Path, num_cases: int, shape: tuple[int, int, int, int], max_tokens: int) -> list[TrainingCase]:
    """Write a shard of cases with masks and a full report each, as the stages do, and list them for training."""
    todo = [CaseWork(f"case_{index}", index) for index in range(num_cases)]
    generator = np.random.default_rng(0)
    image, *masks = generator.standard_normal((1 + len(MASKS), *shape), np.float32).astype(np.float16)
    report = generator.standard_normal((max_tokens, WIDTH), np.float32)

    def encode_latents(case: CaseWork, place: Path) -> dict[str, Any]:
        write_latents(place, case.case, image, dict(zip(MASKS, masks, strict=True)))
        return {}

    def encode_text(case: CaseWork, place: Path) -> dict[str, Any]:
        write_report(place, report)
        return {}

    latents, text = folder / "latents" / "0000", folder / "text" / "0000"
    process_shard("encode_latents", latents.with_suffix(".json"), todo, encode_latents, settings="", facts=dict)
    process_shard("encode_text", text.with_suffix(".json"), todo, encode_text, settings="", facts=dict)
    return [TrainingCase(case.case, latents / case.case, text / case.case, MASKS) for case in todo]


def forget(folder: Path) -> None:
    """Ask the kernel to drop every file below `folder` from its page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def samples_per_s(cases: list[TrainingCase], num_workers: int) -> float:
    """Read every case once, in batches of one, and return how many a second."""
    prompts = {name: np.zeros((32, WIDTH), np.float32) for name in all_prompts()}
    data = ConditionedLatents(cases, prompts, image=STATISTICS, mask=STATISTICS, probabilities=BOTH, weights={}, seed=0)
    begin = perf_counter()
    for batch in prefetch_batches(data, iter(range(len(cases))), 1, num_workers):
        assert batch.conditioning.mask_latents.any()
    return len(cases) / (perf_counter() - begin)


def main() -> None:
    """Write the stores, read them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).parents[1]
    parser.add_argument("--config", type=Path, nargs="+", default=[root / "configs/paper.yaml"], metavar="FILE")
    parser.add_argument("--cases", type=int, default=64, metavar="N")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="on the disk to measure (default: temporary)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    arguments = parser.parse_args()
    config = load_config(*arguments.config)
    found = describe(config)
    step = next(work for work in found.work if work.name.startswith("transformer, training"))
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        begin = perf_counter()
        cases = write_cases(folder, arguments.cases, found.latent_shape, config.encode_text.max_report_tokens)
        write_s = (perf_counter() - begin) / len(cases)
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
        out = sys.stdout.write
        out(f"{len(cases)} cases of {sum(sizes) / 1e6 / len(cases):.1f} MB and {len(MASKS)} masks; a case: ")
        out(f"{write_s:.2f} s to write, {len(sizes) / len(cases):.1f} files\n\n")
        out("| threads that read | cold disk, samples/s | warm disk, samples/s |\n|---|---|---|\n")
        for workers in arguments.workers:
            forget(folder)
            cold = samples_per_s(cases, workers)
            out(f"| {workers or 'none beside the training'} | {cold:.1f} | {samples_per_s(cases, workers):.1f} |\n")
        flops = step.flops / config.train_dit.batch_size
        need = PEAK_FLOPS_PER_S / flops
        out(f"\na step of {flops / 1e12:.1f} TFLOP a sample: at most {need:.2f} samples/s for each H200\n")


if __name__ == "__main__":
    main()
