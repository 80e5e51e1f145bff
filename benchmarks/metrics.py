"""How fast the metrics are beside the libraries that define them, and whether they say the same.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [--side 448] [--ssim-side 160]

Frechet distance: 200 x 2,048 features with a spectrum that falls as 1 / k, against scipy's square root of the
product of the covariances; then the parts of a comparison of large sets, which `medsyn2/evaluation/fidelity/cost.py`
scales: moments, a distance of two Gaussians, the influences of all rows, the kernel distance; and a volume of 448
voxels from its file to 64 slices of each plane in each window. HD95 and ASSD: a heart-like ellipsoid, two lungs and a
tree-like mask on a cube of 448 voxels, each against a slightly other one, with MONAI's HD95 and symmetric ASD in the
same run. SSIM: two volumes of 160 voxels with MONAI's Gaussian window. Then the cost of each volume in an evaluation:
its thumbnail, both SSIMs, the body and the errors in HU, a mask from its file; and products of matrices as the search
takes them for copies. Seconds are CPU seconds of this process; the peak is the resident memory of this process alone,
taken before MONAI has run, the masks themselves included.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from monai.metrics import SSIMMetric, compute_average_surface_distance, compute_hausdorff_distance
from scipy import linalg, ndimage

from medsyn2.ct.nifti.files import read_ct, read_labels, write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.evaluation.features.frechet import Gaussian, Moments, distance_of_gaussians, frechet_distance, influences
from medsyn2.evaluation.features.protocols import PLANES, make_protocol, plane_slices, prepare_volume
from medsyn2.evaluation.features.thumbnails import thumbnail
from medsyn2.evaluation.fidelity.kernel import Slices
from medsyn2.evaluation.similarity.surface import surface_distances
from medsyn2.evaluation.similarity.volumes import (
    inside_body,
    mean_absolute_error_hu,
    psnr_db,
    ssim_3d_box,
    ssim_3d_gaussian,
)
from medsyn2.files import sha256_of
from medsyn2.vocabulary import WINDOWS_HU

SPACING_MM = 0.7


def timed(function: Callable[[], object]) -> tuple[object, float]:
    """Return what a function returns, and its CPU seconds."""
    start = time.process_time()
    return function(), time.process_time() - start


def alone(name: str, function: Callable[[], object]) -> object:
    """Print what a function takes, and return what it returns."""
    result, seconds = timed(function)
    print(f"{name:30s} {seconds:9.2f} s")
    return result


def told(name: str, ours: tuple[object, float], theirs: tuple[object, float]) -> None:
    """Print one line."""
    values = [" ".join(f"{value:.6f}" for value in np.atleast_1d(found[0])) for found in (ours, theirs)]
    ratio = ours[1] / theirs[1]
    print(f"{name:28s} {ours[1]:9.3f} s {theirs[1]:9.3f} s   ratio {ratio:.4f}   {values[0]}   {values[1]}")


def frechet() -> None:
    """Time the Frechet distance."""
    rng = np.random.default_rng(0)
    scale = 1 / np.sqrt(np.arange(1, 2049))
    first, second = rng.normal(size=(200, 2048)) * scale, rng.normal(size=(200, 2048)) * scale + 0.02

    def reference() -> float:
        covariances = [np.cov(features, rowvar=False) for features in (first, second)]
        root = linalg.sqrtm(covariances[0] @ covariances[1]).real
        mean = first.mean(0) - second.mean(0)
        return float(mean @ mean + np.trace(covariances[0] + covariances[1] - 2 * root))

    told("Frechet 200 x 2048, scipy", timed(lambda: frechet_distance(first, second)), timed(reference))
    few = [rng.normal(size=(1500, 2048)) for _ in range(2)]
    alone("Frechet 1500 x 2048", lambda: frechet_distance(*few))
    many = [(rng.normal(size=(8192, 2048)) * scale + shift).astype(np.float32) for shift in (0.0, 0.02)]
    moments = [alone("moments of 8192 x 2048", lambda rows=rows: Moments.of(rows)) for rows in many]

    def gaussians() -> tuple[Gaussian, Gaussian]:
        return Gaussian.of_moments(Moments.pool(moments[:1] * 3)), Gaussian.of_moments(Moments.pool(moments[1:] * 3))

    alone("distance of pooled moments", lambda: distance_of_gaussians(*gaussians()))
    pair = gaussians()
    alone("influences of 2 x 2048 x 2048", lambda: influences(many[0][:2048], many[1][:2048], pair))
    alone("influences of 2 x 8192 x 2048", lambda: influences(*many, pair))
    slices = Slices(many[0], np.repeat(np.arange(512), 16), tuple(str(number) for number in range(512)))
    alone("kernels of 8192 x 8192 x 2048", lambda: slices.own_kernel)


def volume(side: int) -> None:
    """Time the way of a volume to its windowed slices."""
    noise = np.random.default_rng(0).normal(-300, 400, (side, side, side)).astype(np.int16)
    protocol = make_protocol("paper", clip_hu=(-1024.0, 1024.0), num_slices=64)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ct.nii.gz"
        write_ct(path, CTVolume(ndimage.uniform_filter(noise, 3), axis_aligned_affine((0.7,) * 3, (0.0,) * 3)))

        def slices() -> None:
            sha256_of(path)
            hu = prepare_volume(read_ct(path), protocol)
            for window_hu, plane in product(WINDOWS_HU.values(), PLANES):
                plane_slices(hu, plane, window_hu, protocol)

        alone(f"slices of a volume, {side}^3", slices)


def masks(side: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return pairs of masks."""
    z, y, x = np.ogrid[:side, :side, :side]
    unit = side / 448

    def ellipsoid(centre: tuple[int, ...], radius: tuple[int, ...]) -> np.ndarray:
        axes = zip((z, y, x), centre, radius, strict=True)
        return sum(((axis - c * unit) / (r * unit)) ** 2 for axis, c, r in axes) < 1

    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(side // 4,) * 3), 1.5)
    noise = ndimage.zoom(noise.astype(np.float32), 4, order=1)
    level = float(np.quantile(noise[::4, ::4, ::4], 0.93))
    right, left = ((220, 230, 130), (190, 120, 85)), ((220, 230, 320), (185, 118, 80))
    return {
        "heart": (ellipsoid((200, 220, 240), (70, 60, 65)), ellipsoid((203, 222, 238), (72, 59, 66))),
        "lungs": (
            ellipsoid(*right) | ellipsoid(*left),
            ellipsoid((222, 231, 131), (189, 121, 84)) | ellipsoid((221, 229, 321), (186, 117, 81)),
        ),
        "tree": (noise > level, noise > 1.05 * level),
    }


def surfaces(side: int) -> None:
    """Time HD95 and ASSD."""
    pairs = masks(side)
    spacing = (SPACING_MM,) * 3
    ours = {}
    for name, (first, second) in pairs.items():
        found, seconds = timed(lambda a=first, b=second: surface_distances(a, b, spacing))
        ours[name] = ((found.hd95_max_mm, found.assd_mm), seconds)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    for name, pair in pairs.items():
        one_hot = [torch.from_numpy(mask)[None, None] for mask in pair]

        def monai(given: list[torch.Tensor] = one_hot) -> tuple[float, float]:
            settings = {"include_background": True, "spacing": SPACING_MM}
            hd95 = compute_hausdorff_distance(*given, percentile=95, **settings)
            return float(hd95), float(compute_average_surface_distance(*given, symmetric=True, **settings))

        told(f"HD95 and ASSD, {name}, {side}^3", ours[name], timed(monai))
    print(f"peak of this process before MONAI ran: {peak_gb:.2f} GB")


def ssim(side: int) -> None:
    """Time the structural similarity."""
    rng = np.random.default_rng(0)
    first = ndimage.gaussian_filter(rng.normal(size=(side,) * 3), 2) * 3000
    second = first + rng.normal(size=first.shape) * 40
    metric = SSIMMetric(spatial_dims=3, data_range=2048.0)
    given = [torch.from_numpy(volume.astype(np.float32))[None, None] for volume in (first, second)]
    ours = timed(lambda: ssim_3d_gaussian(first, second, 2048.0))
    told(f"SSIM, {side}^3, MONAI", ours, timed(lambda: float(metric(*given))))


def parts_of_evaluations(side: int) -> None:
    """Time what evaluations do with each volume."""
    rng = np.random.default_rng(0)
    hu = rng.normal(-500, 20, (side,) * 3).astype(np.int16)
    hu[side // 4 : side // 2, side // 4 : side // 2] = 40
    other = hu + np.int16(3)

    def errors() -> None:
        body = inside_body(hu)
        for where in (None, body):
            psnr_db(hu, other, 2048.0, where)
            mean_absolute_error_hu(hu, other, where)

    alone(f"thumbnail, {side}^3", lambda: thumbnail(hu, WINDOWS_HU["lung"]))
    alone(f"SSIM, Gaussian, {side}^3", lambda: ssim_3d_gaussian(hu, other, 2048.0))
    alone(f"SSIM, box, {side}^3", lambda: ssim_3d_box(hu, other, 2048.0))
    alone(f"body and errors, {side}^3", errors)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "mask.nii.gz"
        write_labels(path, LabelMap((hu > 0).astype(np.uint8), axis_aligned_affine((0.7,) * 3, (0.0,) * 3)))
        alone(f"mask from its file, {side}^3", lambda: read_labels(path))
    rows = [rng.normal(size=(1024, 32768)) for _ in range(2)]
    alone("products of 1024 x 32768", lambda: rows[0] @ rows[1].T)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=448)
    parser.add_argument("--ssim-side", type=int, default=160)
    options = parser.parse_args()
    torch.set_num_threads(1)
    surfaces(options.side)
    frechet()
    volume(options.side)
    ssim(options.ssim_side)
    parts_of_evaluations(options.side)
