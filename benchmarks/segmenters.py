"""How well the classical, weight-free segmenter finds each structure.

    python benchmarks/segmenters.py [--phantoms 12] [--working-spacing-mm 3] [--real DIR]

Three tables. *Scan*: phantoms as their scanner gives them, against the truth they were painted from. *Grid*: the
same phantoms cropped to the default configuration's grid (64 x 96 x 96 voxels, 313 mm, the chest wall cut) and
blurred as generated volumes are. *Repeat*: what is found on the grid against what is found in the scan and
brought to the grid: it is what agreement with a requested mask cannot exceed. Dice is the mean over the cases
that have the structure; a structure that is not there and not found counts as right, and one that is found
without being there is a false alarm. Seconds are CPU seconds of one core.

With ``--real``, a folder with ``ct/`` and ``labels/`` of radiotherapy contours (1 left lung, 2 right lung, 3 heart,
6 tumour) or of a model's lungs (8 nodule, 9 lung): Dice of the lungs outside the tumour and of the heart.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medsyn2.config import GridConfig, SegmentConfig
from medsyn2.ct.geometry import band_limit, nearest_labels, resample_ct, resample_mask
from medsyn2.ct.lungs import segment_lungs
from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import SegmenterError
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.types import Bool
from medsyn2.vocabulary import LOBES, STRUCTURES, Structure

BLUR_VOXELS, NOISE_HU = 0.5, 12.0
REAL = {"LUNG1-001": "rtstruct", "LUNG1-002": "rtstruct", "R01-001": "aimi"}
LUNG_LABELS, HEART_LABEL, TUMOUR_LABEL = {"rtstruct": [1, 2], "aimi": [8, 9]}, 3, 6

Masks = dict[str, Bool[np.ndarray, "d h w"]]


def dice(found: Bool[np.ndarray, "d h w"], truth: Bool[np.ndarray, "d h w"]) -> float:
    """Return the Dice coefficient; NaN if both are empty."""
    total = np.count_nonzero(found) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(found & truth) / total if total else float("nan")


def model_grid_around(volume: CTVolume, spacing_mm: float) -> Grid:
    """Return the default grid, centred on the lungs of `volume`."""
    config, lungs = GridConfig(), segment_lungs(volume, spacing_mm)
    voxels = np.argwhere(lungs.labels > 0)
    centre = (lungs.affine_mm @ [*(voxels.min(axis=0) + voxels.max(axis=0)) / 2, 1])[:3]
    half = (np.array(config.shape) - 1) / 2 * config.spacing_mm
    return Grid(config.shape, axis_aligned_affine(config.spacing_mm, tuple(centre - half[::-1])))


def as_generated(volume: CTVolume, grid: Grid) -> CTVolume:
    """Return `volume` on `grid`, blurred and noisy."""
    cropped = resample_ct(band_limit(volume, grid.spacing_mm), grid)
    noise = np.random.default_rng(0).normal(scale=NOISE_HU, size=grid.shape)
    hu = ndimage.gaussian_filter(cropped.hu.astype(np.float32), BLUR_VOXELS) + noise
    return CTVolume(np.clip(np.rint(hu), -1024, 1024).astype(np.int16), grid.affine_mm)


def find(segmenter: Segmenter, volume: CTVolume, structures: Sequence[Structure]) -> dict[Structure, LabelMap]:
    """Return a label map of each structure; a tool that could not look for one ends the benchmark."""
    maps: dict[Structure, LabelMap] = {}
    for structure, found in segmenter.segment(volume, structures).items():
        if isinstance(found, SegmenterError):
            raise found
        maps[structure] = found
    return maps


def on_grid(maps: Mapping[str, LabelMap], grid: Grid) -> Masks:
    """Return every structure as a mask on `grid`; the lobes singly and together as the lungs."""
    lobes = nearest_labels(maps.get("lobe_labels", maps["lobes"]), grid).labels
    masks: Masks = {lobe: lobes == label for label, lobe in LOBES.items()} | {"lungs": lobes > 0}
    for name in STRUCTURES:
        if name != "lobes":
            masks[name] = resample_mask(maps[name], grid)
    return masks


def phantom_tables(num: int, config: SegmentConfig) -> dict[str, list[tuple[Masks, Masks]]]:
    """Return pairs of found and expected masks of every phantom, for each table, and print the seconds."""
    segmenter = get_segmenter("classical", config)
    pairs: dict[str, list[tuple[Masks, Masks]]] = {"scan": [], "grid": [], "repeat": []}
    seconds: list[float] = []
    for index in range(num):
        subject = draw_subject(0, index)
        phantom = scan(subject, draw_acquisition(subject, 3.0))
        grid = model_grid_around(phantom.volume, config.working_spacing_mm)
        start = time.process_time()
        in_scan = find(segmenter, phantom.volume, STRUCTURES)
        seconds.append(time.process_time() - start)
        regenerated = on_grid(find(segmenter, as_generated(phantom.volume, grid), STRUCTURES), grid)
        working = in_scan["lobes"].grid
        pairs["scan"].append((on_grid(in_scan, working), on_grid(phantom.truth, working)))
        pairs["grid"].append((regenerated, on_grid(phantom.truth, grid)))
        pairs["repeat"].append((regenerated, on_grid(in_scan, grid)))
    print(f"{num} phantoms, {np.mean(seconds):.2f} CPU s a scan for all nine structures.\n")
    return pairs


def summary(pairs: list[tuple[Masks, Masks]], structure: str) -> str:
    """Return mean Dice, cases that have the structure, and false alarms."""
    scores = [dice(found[structure], truth[structure]) for found, truth in pairs if truth[structure].any()]
    alarms = sum(bool(found[structure].any()) for found, truth in pairs if not truth[structure].any())
    return f"{np.mean(scores):.3f} ({len(scores)}, {alarms})" if scores else f"- (0, {alarms})"


def print_phantoms(num: int, config: SegmentConfig) -> None:
    """Print the table of the phantoms."""
    pairs = phantom_tables(num, config)
    print("Dice (cases that have it, false alarms)\n")
    print("| structure | scan | grid | repeat |\n|---|---|---|---|")
    for structure in ("lungs", *LOBES.values(), *STRUCTURES[1:]):
        print(f"| {structure} | " + " | ".join(summary(pairs[name], structure) for name in pairs) + " |")


def print_real(folder: Path, config: SegmentConfig) -> None:
    """Print the table of the real CTs."""
    segmenter = get_segmenter("classical", config)
    print("\n| CT | lungs | heart | CPU s, all nine |\n|---|---|---|---|")
    for case, kind in REAL.items():
        volume = read_ct(folder / "ct" / f"{case}.nii.gz")
        labels = read_labels(folder / "labels" / f"{case}_{kind}.nii.gz")
        truth = labels.labels
        start = time.process_time()
        found = find(segmenter, volume, STRUCTURES)
        seconds = time.process_time() - start
        lungs, heart_found = (resample_mask(found[name], labels.grid, None, 0.5) for name in ("lobes", "heart"))
        in_lungs = dice(lungs & (truth != TUMOUR_LABEL), np.isin(truth, LUNG_LABELS[kind]))
        has_heart = (truth == HEART_LABEL).any()
        heart = f"{dice(heart_found, truth == HEART_LABEL):.3f}" if has_heart else "-"
        print(f"| {case} | {in_lungs:.3f} | {heart} | {seconds:.1f} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=12)
    parser.add_argument("--working-spacing-mm", type=float, default=3.0)
    parser.add_argument("--real", type=Path)
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    config = SegmentConfig(working_spacing_mm=arguments.working_spacing_mm)
    print_phantoms(arguments.phantoms, config)
    if arguments.real:
        print_real(arguments.real, config)


if __name__ == "__main__":
    main()
