"""How exactly, how surely and how fast known affine transforms of real chest CTs are recovered.

    python benchmarks/registration.py --cts DIR --abdomen FILE [--cases 12] [--working-spacing-mm 4]

Each case is one of the CTs in DIR, rotated by 5 to 15 degrees about a random axis, scaled by up to 15 % on each
axis and shifted by up to 60 mm, resampled to 1.6 x 1.6 x 2.5 mm. Every second one has 160 mm of another patient's
abdomen (FILE) below it and every third 60 mm of air on all sides, so that the lungs are a small part of the
field of view. The CT itself is the template. Nothing of the transform is told to the registration.

Landmarks are all lung voxels of the template; the error is the distance between where the found and the true
transform take one. A case is lost if the median of its errors is above 5 mm. Seconds are CPU seconds of one
core, from the volume in memory: working image, lungs, registration.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import zoom
from scipy.spatial.transform import Rotation

from medsyn2.ct.geometry import resample_ct
from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.registration.affine import ChestCT, register_affine, working_ct
from medsyn2.ct.volume import Affine, CTVolume, Grid, axis_aligned_affine

SPACING_MM = (2.5, 1.6, 1.6)
BELOW_MM = 160.0
AIR_MM = 60.0
LOST_MM = 5.0


@dataclass(frozen=True)
class Outcome:
    """How one case went.

    Attributes:
        median_mm: Median landmark error.
        largest_mm: Largest landmark error.
        cpu_s: CPU seconds.
        lung_dice: Dice of the lungs after registration.
    """

    median_mm: float
    largest_mm: float
    cpu_s: float
    lung_dice: float


def random_affine(centre_mm: np.ndarray, rng: np.random.Generator) -> Affine:
    """Draw a rotation, scales and a shift; returns template world to moved world."""
    axis = rng.normal(size=3)
    rotation = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.radians(rng.uniform(5, 15))).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(np.exp(rng.uniform(-1, 1, 3) * np.log(1.15)))
    affine[:3, 3] = centre_mm + rng.uniform(-60, 60, 3) - affine[:3, :3] @ centre_mm
    return affine


def with_abdomen(volume: CTVolume, abdomen: CTVolume) -> CTVolume:
    """Put the lower half of `abdomen`, brought to the same width, under `volume`."""
    slab = abdomen.hu[: abdomen.shape[0] // 2].astype(np.float32)
    depth = round(BELOW_MM / volume.spacing_mm[0])
    wanted = (depth, *volume.shape[1:])
    below = zoom(slab, [new / old for new, old in zip(wanted, slab.shape, strict=True)], order=1)
    affine = volume.affine_mm.copy()
    affine[:3, 3] -= affine[:3, 0] * depth
    return CTVolume(np.concatenate([np.rint(below).astype(np.int16), volume.hu]), affine)


def moved(volume: CTVolume, affine: Affine, air_mm: float) -> CTVolume:
    """Return `volume` moved by `affine`, on an axis-aligned grid around it with `air_mm` of air."""
    index = np.array(np.meshgrid(*[(0, n - 1) for n in volume.shape])).reshape(3, -1)
    corners = affine @ volume.affine_mm @ np.vstack([index, np.ones(8)])
    low, high = corners[:3].min(axis=1) - air_mm, corners[:3].max(axis=1) + air_mm
    shape = np.ceil((high - low)[::-1] / SPACING_MM).astype(int)
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), axis_aligned_affine(SPACING_MM, tuple(low.tolist())))
    return resample_ct(volume, grid, np.linalg.inv(affine))


def recover(template: ChestCT, volume: CTVolume, truth: Affine, spacing_mm: float) -> Outcome:
    """Register `volume` to `template` and compare with the truth."""
    start = time.process_time()
    alignment = register_affine(working_ct(volume, spacing_mm), template, seed=0)
    cpu_s = time.process_time() - start
    difference = alignment.template_to_native_lps_mm - truth
    errors_mm = np.linalg.norm(template.lung_points_mm @ difference[:3, :3].T + difference[:3, 3], axis=1)
    return Outcome(float(np.median(errors_mm)), float(errors_mm.max()), cpu_s, alignment.lung_dice)


def outcomes(paths: list[Path], abdomen: CTVolume, num_cases: int, spacing_mm: float) -> list[Outcome]:
    """Run the first `num_cases` cases; each depends on its number alone."""
    results = []
    for number in range(num_cases):
        rng = np.random.default_rng(number)
        volume = read_ct(paths[number % len(paths)])
        template = working_ct(volume, spacing_mm)
        truth = random_affine(template.lung_points_mm.mean(axis=0), rng)
        source = with_abdomen(volume, abdomen) if number % 2 else volume
        case = moved(source, truth, AIR_MM if number % 3 == 0 else 0.0)
        results.append(recover(template, case, truth, spacing_mm))
    return results


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cts", type=Path, required=True)
    parser.add_argument("--abdomen", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--working-spacing-mm", type=float, default=4.0)
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    paths = sorted(arguments.cts.glob("*.nii.gz"))
    results = outcomes(paths, read_ct(arguments.abdomen), arguments.cases, arguments.working_spacing_mm)
    print("| case | CT | median mm | largest mm | lung Dice | CPU s |\n|---|---|---|---|---|---|")
    for number, result in enumerate(results):
        name = paths[number % len(paths)].name.removesuffix(".nii.gz")
        numbers = f"{result.median_mm:.2f} | {result.largest_mm:.2f} | {result.lung_dice:.3f} | {result.cpu_s:.1f}"
        print(f"| {number} | {name} | {numbers} |")
    medians = [result.median_mm for result in results]
    lost = sum(median > LOST_MM for median in medians)
    print(
        f"\nMedian of the medians {np.median(medians):.2f} mm, worst {max(medians):.2f} mm; lost {lost} of "
        f"{len(results)}; at most {max(result.cpu_s for result in results):.1f} CPU s a case."
    )


if __name__ == "__main__":
    main()
