"""Measure time and memory of the page's server for volumes and masks of a grid, 448 x 448 x 448 by default.

    python benchmarks/page_memory.py --size 448

Each step runs in a process of its own, as in the helper or the worker, and prints its seconds of processor time and the
highest memory of the process, with Python and the libraries.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.server.runs import decode_runs, encode_runs
from medsyn2.server.voxels import write_voxels

AFFINE = axis_aligned_affine((0.7, 0.7, 0.7), (0.0, 0.0, 0.0))


def make_volume(size: int) -> CTVolume:
    """Return noise of a CT's range on a body-sized grid, which compresses as badly as a CT."""
    rng = np.random.default_rng(0)
    hu = np.empty((size, size, size), np.int16)
    for plane in hu:
        plane[:] = rng.normal(-200, 40, plane.shape)
    return CTVolume(hu, AFFINE)


def make_mask(size: int) -> np.ndarray:
    """Return a ball over a third of the grid's width."""
    mask = np.zeros((size, size, size), bool)
    axis = np.arange(size, dtype=np.float32) - size / 2
    for index, plane in enumerate(mask):
        plane[:] = axis[:, None] ** 2 + axis**2 + axis[index] ** 2 < (size / 6) ** 2
    return mask


def hold(size: int, folder: Path) -> str:
    """Hold a volume: the least that each step needs."""
    return f"{make_volume(size).hu.nbytes / 1e6:.0f} MB of voxels"


def compress(size: int, folder: Path) -> str:
    """Write a volume for the browser."""
    write_voxels(folder / "voxels.gz", make_volume(size))
    return f"{(folder / 'voxels.gz').stat().st_size / 1e6:.0f} MB on the disk"


def encode(size: int, folder: Path) -> str:
    """Turn a mask into runs and back."""
    mask = make_mask(size)
    runs = encode_runs(mask)
    assert np.array_equal(decode_runs(runs, mask.shape), mask)
    return f"{len(runs) / 1e3:.0f} kB of runs"


def show(size: int, folder: Path) -> str:
    """Show a volume in a notebook."""
    html = make_volume(size)._repr_html_()
    return f"{len(html) / 1e6:.1f} MB of HTML"


STEPS: tuple[Callable[[int, Path], str], ...] = (hold, compress, encode, show)


def measure(step: Callable[[int, Path], str], size: int) -> None:
    """Run a step and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        start_s = time.process_time()
        result = step(size, Path(folder))
        used_s = time.process_time() - start_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step.__name__:10} {used_s:6.1f} s {peak_mb:7.0f} MB  {result}")


def main() -> None:
    """Measure each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=448, help="voxels along each axis (default: %(default)s)")
    size = parser.parse_args().size
    for step in STEPS:
        process = get_context("spawn").Process(target=measure, args=(step, size))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
