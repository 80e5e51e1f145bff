"""How many training samples a second the stores give, from cold and from warm disk, beside what training takes.

    OMP_NUM_THREADS=1 python benchmarks/stores.py
    OMP_NUM_THREADS=1 python benchmarks/stores.py --config configs/paper.yaml --cases 256 --folder /scratch/stores

A sample is what one position of the training reads in the mode `both`, the most there is: the latents of a
volume and of a mask and the embeddings of a full report, each with its checksum compared, then normalised in
float32 and put together as a batch, by the same code that trains. Stores of random numbers are written into a
temporary folder (6.4 MB a case at the paper's size) by the writers of the stages. Each case is read once a
pass, in the order of an epoch. Before a cold pass the kernel is told to forget the files, which are on the
disk by then (posix_fadvise); whether the disk has a memory of its own is not seen from here.

What training takes is an upper bound: the operations of one sample's step, counted from the networks' shapes, at
the peak of the device (989 TFLOP/s in bfloat16: H200, NVIDIA's data sheet); a real step is slower, and needs less.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from medsyn2.config import load_config
from medsyn2.planning.description import describe
from medsyn2.reports.prompts import all_prompts
from medsyn2.store.latents import LatentStore, MaskState
from medsyn2.store.text_embeddings import TextStore
from medsyn2.training.dit.conditions import ConditionedLatents, TrainingCase
from medsyn2.training.engine.batches import prepared
from medsyn2.vocabulary import STRUCTURES, Structure
from medsyn2.weights.model_folder import ChannelStatistics

PEAK_FLOPS_PER_S = 989e12
STATISTICS = ChannelStatistics((0.0,) * 4, (1.0,) * 4)
BOTH = (0.0, 0.0, 1.0, 0.0)
STRUCTURE = STRUCTURES[0]
WIDTH = 768


def written(
    folder: Path, num_cases: int, shape: tuple[int, int, int, int], max_tokens: int
) -> list[TrainingCase]:
    """Write a shard of cases with one mask and a full report each, and open it as training does."""
    names = [f"case_{index}" for index in range(num_cases)]
    latents = LatentStore.open_for_writing(
        folder / "latents.zarr", names, shape=shape, dtype="float16", about={}
    )
    reports = TextStore.open_for_writing(
        folder / "reports.zarr", names, max_tokens=max_tokens, width=WIDTH, encoder={}
    )
    states: dict[Structure, MaskState] = dict.fromkeys(STRUCTURES, "absent")
    states[STRUCTURE] = "present"
    generator = np.random.default_rng(0)
    for name in names:
        image, mask = generator.standard_normal((2, *shape), np.float32)
        latents.write(name, image, {STRUCTURE: mask}, states)
        reports.write(name, generator.standard_normal((max_tokens, WIDTH), np.float32), max_tokens)
    opened = LatentStore.open(folder / "latents.zarr"), TextStore.open(folder / "reports.zarr")
    return [TrainingCase(name, *opened, (STRUCTURE,)) for name in names]


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
    data = ConditionedLatents(
        cases, prompts, image=STATISTICS, mask=STATISTICS, probabilities=BOTH, weights={}, seed=0
    )
    begin = perf_counter()
    for batch in prepared(data, iter(range(len(cases))), 1, num_workers):
        assert batch.conditioning.mask_latents.any()
    return len(cases) / (perf_counter() - begin)


def main() -> None:
    """Write the stores, read them and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = Path(__file__).parents[1]
    parser.add_argument(
        "--config", type=Path, nargs="+", default=[root / "configs/paper.yaml"], metavar="FILE"
    )
    parser.add_argument("--cases", type=int, default=64, metavar="N")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="on the disk to measure (default: temporary)"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    arguments = parser.parse_args()
    config = load_config(*arguments.config)
    found = describe(config)
    step = next(work for work in found.work if work.name.startswith("transformer, training"))
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        cases = written(folder, arguments.cases, found.latent_shape, config.encode_text.max_report_tokens)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        out = sys.stdout.write
        out(f"{len(cases)} cases, {size / 1e6 / len(cases):.1f} MB each\n\n")
        out("| threads that read | cold disk, samples/s | warm disk, samples/s |\n|---|---|---|\n")
        for workers in arguments.workers:
            forget(folder)
            cold = samples_per_s(cases, workers)
            out(
                f"| {workers or 'none beside the training'} | {cold:.1f} | {samples_per_s(cases, workers):.1f} |\n"
            )
        flops = step.flops / config.train_dit.batch_size
        need = PEAK_FLOPS_PER_S / flops
        out(f"\na step of {flops / 1e12:.1f} TFLOP a sample: at most {need:.2f} samples/s for each H200\n")


if __name__ == "__main__":
    main()
