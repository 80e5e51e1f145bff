"""Affine registration of a chest CT to the template: lungs to lungs first, then intensities.

The search starts from the lungs' centroids and volumes, so that the patient's position and the amount of abdomen,
table and air in the field of view do not matter. Three steps refine it:

1. the lungs as smoothed 0/1 images, mean squares, at a coarse level, which has a wide capture range;
2. the same at the working spacing;
3. Mattes mutual information of the HU in a shell: the template's lungs and 16 mm around them. On the whole image,
   the body wall would outweigh the lungs, and their agreement gets worse.

Samples are drawn with a seed and the optimisation runs on one thread, so that equal input gives an equal matrix; work
is divided by cases, not within one.

A field of view that ends near the lungs hides a part of the chest. Its padding is left out of every metric, of the
similarity and of the overlap of the lungs: there, nothing is known, and air in its place would speak against a fit.

The orientation of the file is tested too: mirrored templates are fitted in the same way, and a CT that resembles the
template more with top and bottom or front and back exchanged has a wrong header. ``alignment.py`` holds the gates
that an alignment must pass, ``template.py`` makes the template.

Source: Mattes et al., "PET-CT image registration in the chest using free-form deformations", IEEE TMI 2003.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import SimpleITK as sitk

from medsyn2.config import RegisterConfig
from medsyn2.ct.field_of_view import EDGE_VOXELS, find_padding, widen
from medsyn2.ct.geometry import band_limit, isotropic, nearest_labels, resample_ct, resample_mask, to_sitk
from medsyn2.ct.lungs import missing_lung, segment_lungs
from medsyn2.ct.morphology import bounding_box, dilate
from medsyn2.ct.registration.alignment import AS_GIVEN, MIRRORED, Alignment, check_alignment
from medsyn2.ct.volume import Affine, CTVolume, Grid, LabelMap
from medsyn2.errors import RegistrationError
from medsyn2.types import Bool, Float

OUTSIDE_HU = -1024
ALIASING_RATIO = 1.5
SHELL_MM = 16.0
HU_RANGE = (-1024.0, 400.0)
NUM_SAMPLES = 10_000
NUM_BINS = 32
COARSE_FACTOR = 2
COARSE_SAMPLES = 6_000
COARSE_STEP_MM = 8.0
STEP_MM = 1.0
MAX_ITERATIONS = 80
RELAXATION = 0.9
MIRRORS = {
    AS_GIVEN: (1.0, 1.0, 1.0),
    MIRRORED: (-1.0, 1.0, 1.0),
    "front-back": (1.0, -1.0, 1.0),
    "up-down": (1.0, 1.0, -1.0),
}
"""Signs of x, y and z. A wrong orientation that combines several still resembles one of them more than none."""

Box = tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]


@dataclass(frozen=True)
class ChestCT:
    """A chest CT and its lungs at the working spacing, with the images that a search derives from them."""

    volume: CTVolume
    lungs: LabelMap

    @property
    def lung_ml(self) -> float:
        """Volume of the lungs."""
        voxel_ml = abs(float(np.linalg.det(self.lungs.affine_mm[:3, :3]))) / 1000
        return float(np.count_nonzero(self.lungs.labels)) * voxel_ml

    @cached_property
    def lung_points_mm(self) -> Float[np.ndarray, "n 3"]:
        """World positions (x, y, z) of the lungs' voxels."""
        return np.argwhere(self.lungs.labels) @ self.lungs.affine_mm[:3, :3].T + self.lungs.affine_mm[:3, 3]

    @cached_property
    def hu_image(self) -> sitk.Image:
        """HU clipped to the range of anatomy, smoothed by half a voxel."""
        image = to_sitk(CTVolume(np.clip(self.volume.hu, *HU_RANGE).astype(np.float32), self.volume.affine_mm))
        return _smooth(image, 0.5)

    @cached_property
    def lung_image(self) -> sitk.Image:
        """Indicator of the lungs, smoothed by a voxel."""
        indicator = CTVolume((self.lungs.labels != 0).astype(np.float32), self.lungs.affine_mm)
        return _smooth(to_sitk(indicator), 1.0)

    @cached_property
    def coarse_hu_image(self) -> sitk.Image:
        """`hu_image` at the coarse level."""
        return _shrink(self.hu_image)

    @cached_property
    def coarse_lung_image(self) -> sitk.Image:
        """`lung_image` at the coarse level."""
        return _shrink(self.lung_image)

    @cached_property
    def shell(self) -> LabelMap:
        """The lungs and 16 mm around them, on the lungs' grid."""
        near = dilate(self.lungs.labels != 0, SHELL_MM, self.lungs.spacing_mm[0])
        return LabelMap(near.astype(np.uint8), self.lungs.affine_mm)

    @cached_property
    def visible(self) -> LabelMap | None:
        """The field of view, where it ends in the shell; None where it reaches beyond."""
        padding = find_padding(self.volume.hu)
        if not (self.shell.labels != 0)[:, padding].any():
            return None
        inside = np.broadcast_to(~widen(padding, EDGE_VOXELS), self.volume.shape)
        return LabelMap(inside.astype(np.uint8), self.volume.affine_mm)

    @cached_property
    def coarse_shell(self) -> Bool[np.ndarray, "d h w"]:
        """`shell` on the grid of `coarse_hu_image`."""
        image = to_sitk(self.shell)
        coarse = sitk.Resample(image, self.coarse_hu_image, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
        return sitk.GetArrayFromImage(coarse) != 0


def working_ct(volume: CTVolume, spacing_mm: float) -> ChestCT:
    """Resample a CT to the working spacing and segment its lungs."""
    working = isotropic(volume, spacing_mm)
    return ChestCT(working, segment_lungs(working, spacing_mm))


def working_template(volume: CTVolume, lungs: LabelMap, spacing_mm: float) -> ChestCT:
    """Resample a template and its known lungs to the working spacing."""
    working = isotropic(volume, spacing_mm)
    return ChestCT(working, nearest_labels(lungs, working.grid))


def register_affine(moving: ChestCT, fixed: ChestCT, *, seed: int) -> Alignment:
    """Find the affine from `fixed`, the template, to `moving`, a case; no gate is applied.

    `seed` is that of the metrics' samples.
    """
    fits = {name: _coarse_fit(moving, fixed, signs, seed) for name, signs in MIRRORS.items()}
    orientation = {name: similarity(moving, fixed, matrix) for name, matrix in fits.items()}
    matrix = _refine(moving, fixed, fits[AS_GIVEN], seed, on_lungs=True)
    matrix = _refine(moving, fixed, matrix, seed, on_lungs=False)
    return _measure(moving, fixed, matrix, orientation, "lungs")


def register_from_boxes(moving: ChestCT, fixed: ChestCT, *, seed: int) -> Alignment:
    """Find the affine from intensities alone, starting from the boxes around the lungs.

    This is the fall-back for lungs whose mask is unlike the template's, for example with one side full of fluid.
    """
    (fixed_low, fixed_high), (low, high) = lung_box_mm(fixed.lungs), lung_box_mm(moving.lungs)
    scale = float(np.cbrt(np.prod(high - low) / np.prod(fixed_high - fixed_low)))
    matrix = _scaling_affine(scale, (1.0, 1.0, 1.0), (fixed_low + fixed_high) / 2, (low + high) / 2)
    matrix = _refine(moving, fixed, matrix, seed, on_lungs=False)
    return _measure(moving, fixed, matrix, {}, "boxes")


def register_within_gates(moving: ChestCT, fixed: ChestCT, gates: RegisterConfig) -> Alignment:
    """Register a case, with the fall-back if the first attempt fails the gates.

    A case of which only one lung shows is registered to that lung of the template.

    Raises:
        RegistrationError: With the code of the gate that the first attempt failed, see `check_alignment`; or with
            ``one-lung`` if only one shows.
    """
    missing = missing_lung(moving.lungs)
    if missing is None:
        return _register_within_gates(moving, fixed, gates)
    other = fixed.lungs.labels * ~fixed.lungs.binary(missing.replace(" ", "_"))
    try:
        return _register_within_gates(moving, replace(fixed, lungs=replace(fixed.lungs, labels=other)), gates)
    except RegistrationError as refusal:
        raise RegistrationError(
            f"Expected two lungs, found next to nothing of the {missing}; registered by the other lung, the CT fails: "
            f"{refusal.message}",
            code="one-lung",
            remedy="look at that side: solid lung, fluid, or a lung that was removed. Leave the file out "
            f"(cohort.exclude_txt), or: {refusal.remedy}",
        ) from refusal


def _register_within_gates(moving: ChestCT, fixed: ChestCT, gates: RegisterConfig) -> Alignment:
    first = register_affine(moving, fixed, seed=gates.seed)
    try:
        check_alignment(first, gates)
    except RegistrationError as refusal:
        second = register_from_boxes(moving, fixed, seed=gates.seed)
        second = replace(second, orientation=first.orientation)
        try:
            check_alignment(second, gates)
        except RegistrationError:
            raise refusal from None
        return second
    return first


def resample_to_grid(
    volume: CTVolume, grid: Grid, template_to_native_lps_mm: Affine, *, outside_hu: int = OUTSIDE_HU
) -> CTVolume:
    """Resample a native CT to the template's grid in one linear interpolation.

    Args:
        grid: The template's grid, or any other in its space.
        outside_hu: Value of grid voxels that the CT does not reach.
    """
    # Linear interpolation averages neighbours; only a grid more than 1.5 times as coarse as the CT would alias.
    steps_mm = np.linalg.norm(template_to_native_lps_mm[:3, :3] @ grid.affine_mm[:3, :3], axis=0)
    own_mm = np.array(volume.spacing_mm)
    depth, height, width = np.where(steps_mm > ALIASING_RATIO * own_mm, steps_mm, own_mm).tolist()
    source = band_limit(volume, (depth, height, width))
    return resample_ct(source, grid, template_to_native_lps_mm, outside_hu=outside_hu)


def lung_box_mm(lungs: LabelMap) -> Box:
    """Return the lowest and the highest world coordinates (x, y, z) of the lungs, to the voxels' edges."""
    return _box_mm(lungs.affine_mm, [(span.start, span.stop) for span in bounding_box(lungs.labels != 0)])


def grid_box_mm(grid: Grid) -> Box:
    """Return the lowest and the highest world coordinates (x, y, z) of a grid, to the voxels' edges."""
    return _box_mm(grid.affine_mm, [(0, size) for size in grid.shape])


def similarity(moving: ChestCT, fixed: ChestCT, template_to_native_lps_mm: Affine) -> float:
    """Correlate the HU of both CTs in and around the template's lungs, at the coarse level."""
    transform = _transform(template_to_native_lps_mm)
    moved = sitk.Resample(moving.coarse_hu_image, fixed.coarse_hu_image, transform, sitk.sitkLinear, HU_RANGE[0])
    seen = fixed.coarse_shell & _visible_on(fixed.coarse_hu_image, moving, template_to_native_lps_mm)
    theirs = sitk.GetArrayViewFromImage(moved)[seen].astype(np.float64)
    ours = sitk.GetArrayViewFromImage(fixed.coarse_hu_image)[seen].astype(np.float64)
    if not seen.any() or np.ptp(theirs) == 0 or np.ptp(ours) == 0:
        return 0.0
    return float(np.corrcoef(ours, theirs)[0, 1])


def _visible_on(
    fixed: sitk.Image, moving: ChestCT, template_to_native_lps_mm: Affine
) -> Bool[np.ndarray, "d h w"] | bool:
    """Return the voxels of a template's image that the field of view of a CT shows; True for all of them."""
    if moving.visible is None:
        return True
    transform = _transform(template_to_native_lps_mm)
    moved = sitk.Resample(to_sitk(moving.visible), fixed, transform, sitk.sitkNearestNeighbor, 0.0)
    return sitk.GetArrayFromImage(moved) != 0


def _coarse_fit(moving: ChestCT, fixed: ChestCT, signs: tuple[float, float, float], seed: int) -> Affine:
    """Fit the lungs at the coarse level to the template mirrored by `signs`, from centroids and volumes."""
    scale = float(np.cbrt(moving.lung_ml / fixed.lung_ml))
    centres = fixed.lung_points_mm.mean(axis=0), moving.lung_points_mm.mean(axis=0)
    start = _scaling_affine(scale, signs, *centres)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    _sample(method, COARSE_SAMPLES, fixed.coarse_lung_image.GetNumberOfPixels(), seed)
    _leave_out_padding(method, moving)
    steps_mm = (COARSE_STEP_MM, COARSE_STEP_MM / 32)
    return _descend(method, fixed.coarse_lung_image, moving.coarse_lung_image, start, centres[0], steps_mm)


def _refine(moving: ChestCT, fixed: ChestCT, start: Affine, seed: int, *, on_lungs: bool) -> Affine:
    """Refine at the working spacing, on the lungs' indicators or on the HU in the shell."""
    method = sitk.ImageRegistrationMethod()
    if on_lungs:
        method.SetMetricAsMeanSquares()
        images = fixed.lung_image, moving.lung_image
    else:
        method.SetMetricAsMattesMutualInformation(NUM_BINS)
        images = fixed.hu_image, moving.hu_image
    method.SetMetricFixedMask(to_sitk(fixed.shell))
    _leave_out_padding(method, moving)
    _sample(method, NUM_SAMPLES, int(np.count_nonzero(fixed.shell.labels)), seed)
    return _descend(method, *images, start, fixed.lung_points_mm.mean(axis=0), (STEP_MM, STEP_MM / 64))


def _leave_out_padding(method: sitk.ImageRegistrationMethod, moving: ChestCT) -> None:
    if moving.visible is not None:
        method.SetMetricMovingMask(to_sitk(moving.visible))


def _sample(method: sitk.ImageRegistrationMethod, wanted: int, available: int, seed: int) -> None:
    """Let the metric sample about `wanted` of the `available` voxels, independent of the spacing."""
    method.SetMetricSamplingStrategy(method.RANDOM)
    share = min(1.0, wanted / max(1, available))
    method.SetMetricSamplingPercentage(share, seed + 1)  # ITK takes 0 for "use the clock"


def _descend(
    method: sitk.ImageRegistrationMethod,
    fixed: sitk.Image,
    moving: sitk.Image,
    start: Affine,
    centre: Float[np.ndarray, " 3"],
    steps_mm: tuple[float, float],
) -> Affine:
    """Descend the metric's gradient from `start`, with steps that shrink from the first to the second size."""
    transform = sitk.AffineTransform(3)
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(start[:3, :3].ravel().tolist())
    transform.SetTranslation((start[:3, :3] @ centre + start[:3, 3] - centre).tolist())
    method.SetInitialTransform(transform, inPlace=True)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=steps_mm[0],
        minStep=steps_mm[1],
        numberOfIterations=MAX_ITERATIONS,
        relaxationFactor=RELAXATION,
        gradientMagnitudeTolerance=1e-9,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    with _one_thread():
        try:
            method.Execute(fixed, moving)
        except RuntimeError as error:
            if "samples map outside" not in str(error):
                raise
            return start  # The images do not overlap.
    result = np.eye(4)
    result[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    result[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return result


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run ITK on one thread."""
    # Sums over threads differ in the last bits with the number of threads.
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _measure(
    moving: ChestCT, fixed: ChestCT, matrix: Affine, orientation: Mapping[str, float], start: str
) -> Alignment:
    template_lungs = (fixed.lungs.labels != 0) & _visible_on(to_sitk(fixed.lungs), moving, matrix)
    moved_lungs = resample_mask(moving.lungs, fixed.lungs.grid, matrix)
    overlap = float(np.count_nonzero(template_lungs & moved_lungs))
    total = float(np.count_nonzero(template_lungs) + np.count_nonzero(moved_lungs))
    return Alignment(
        template_to_native_lps_mm=matrix,
        lung_dice=2 * overlap / total,
        lung_inside=_share_inside(moving.lung_points_mm, np.linalg.inv(matrix), fixed.volume.grid),
        lung_covered=_share_inside(fixed.lung_points_mm, matrix, moving.volume.grid, moving.visible),
        lung_ml=moving.lung_ml,
        similarity=similarity(moving, fixed, matrix),
        orientation=orientation,
        start=start,
    )


def _share_inside(
    points_mm: Float[np.ndarray, "n 3"], to_grid_world: Affine, grid: Grid, visible: LabelMap | None = None
) -> float:
    """Return the share of points that lie in a grid and, if it is given, in what is `visible` on it."""
    to_index = np.linalg.inv(grid.affine_mm) @ to_grid_world
    index = points_mm @ to_index[:3, :3].T + to_index[:3, 3]
    inside = ((index >= -0.5) & (index <= np.array(grid.shape) - 0.5)).all(axis=1)
    if visible is not None:
        nearest = np.rint(index[inside]).astype(int).clip(0, np.array(grid.shape) - 1)
        inside[inside] = visible.labels[tuple(nearest.T)] != 0
    return float(inside.mean())


def _scaling_affine(
    scale: float, signs: tuple[float, float, float], from_mm: Float[np.ndarray, " 3"], to_mm: Float[np.ndarray, " 3"]
) -> Affine:
    matrix = np.diag([*(np.array(signs) * scale), 1.0])
    matrix[:3, 3] = to_mm - matrix[:3, :3] @ from_mm
    return matrix


def _box_mm(affine_mm: Affine, spans: list[tuple[int, int]]) -> Box:
    index = np.array(list(product(*spans))) - 0.5
    corners = index @ affine_mm[:3, :3].T + affine_mm[:3, 3]
    return corners.min(axis=0), corners.max(axis=0)


def _transform(matrix: Affine) -> sitk.AffineTransform:
    return sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())


def _smooth(image: sitk.Image, voxels: float) -> sitk.Image:
    sigma_mm = [voxels * spacing for spacing in image.GetSpacing()]
    return sitk.SmoothingRecursiveGaussian(image, sigma_mm)


def _shrink(image: sitk.Image) -> sitk.Image:
    return sitk.Shrink(_smooth(image, COARSE_FACTOR / 2), [COARSE_FACTOR] * 3)
