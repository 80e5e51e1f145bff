"""Measure the processor time of `medsyn2 export nnunet` for generated volumes of 448 x 448 x 448 voxels.

    python benchmarks/export.py --cases 2

The volumes are noise of a CT's range, which is compressed as badly as a CT, with a ball as the mask. A line is a step,
with its seconds a case and its hours for CT-RATE's 25,692: what is done for all cases in each job (finding them), what
the jobs share (writing), and what the last one does alone (the folds, for which each mask is read).
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.page_memory import make_mask, make_volume
from medsyn2.export.dataset import list_members, write_cases, write_dataset
from medsyn2.export.pairs import Pair, pairs_of_volumes
from medsyn2.flow import Sampling
from medsyn2.pipeline.synthetic import Recipe, Synthetic

CT_RATE = 25_692
NAMES = {1: "nodules"}


def write_volumes(folder: Path, size: int, num: int) -> None:
    """Write volumes of different masks as `medsyn2 generate` does."""
    volume, mask = make_volume(size), make_mask(size)
    for number in range(num):
        recipe = Recipe(None, mask.copy(), "lung nodules", number, Sampling())
        recipe.mask[number, 0, 0] = True  # type: ignore[index]
        Synthetic(volume, recipe, "0" * 64, torch.zeros(1, 4, 1, 1, 1)).save(folder / f"{number}.nii.gz")


def seconds(act: Callable[[], object]) -> float:
    """Return the processor time of an act."""
    start_s = time.process_time()
    act()
    return time.process_time() - start_s


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=448, help="voxels along each axis (default: %(default)s)")
    parser.add_argument("--cases", type=int, default=2, help="volumes to export (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        made, to = Path(name) / "made", Path(name) / "Dataset501_Nodules"
        write_volumes(made, arguments.size, arguments.cases)
        pairs: list[Pair] = []
        steps = {
            "find the cases, in each job": lambda: pairs.extend(pairs_of_volumes(made, ["nodules"])),
            "write a case": lambda: write_cases(to, pairs, NAMES, "nnunet"),
            "find the folds, in the last job": lambda: list_members(pairs),
            "write the tables": lambda: write_dataset(to, list_members(pairs), NAMES, "nnunet"),
        }
        taken = {step: seconds(act) / arguments.cases for step, act in steps.items()}
    print(f"| {arguments.size} x {arguments.size} x {arguments.size} | CPU s a case | CPU h for {CT_RATE:,} |")
    print("|---|---|---|")
    for step, each_s in taken.items():
        print(f"| {step} | {each_s:.3f} | {each_s * CT_RATE / 3600:.2f} |")
    print(f"most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
