"""The vertebral column: the one bone that is thick and runs through the whole chest without a gap.

Bone is averaged over 20 mm, which leaves of ribs, clavicles and the sternum little and of vertebrae much. Then the
widest path is sought, in the sense of graphs: the path from one end of the lungs to the other whose darkest point is
brightest. Contrast medium in heart and vessels is as bright as bone, but no path through it runs from the lungs' base
to their tops without tissue in between. Moves of one voxel sideways in each slice let the path follow any curvature.
"""

import numpy as np
from scipy import ndimage

from medsyn2.ct.anatomy.view import ChestView
from medsyn2.types import Float, Int

AROUND_MM = 50.0
"""Reach of the column behind and in front of the lungs."""

Weight = Float[np.ndarray, "d h w"]


def darkest_of_widest_path(weight: Weight) -> float:
    """Return the largest value that a path along the first axis can keep from end to end."""
    reached = weight[0]
    for layer in weight[1:]:
        reached = np.minimum(ndimage.maximum_filter(reached, 3, mode="nearest"), layer)
    return float(reached.max())


def brightest_path(weight: Weight) -> Int[np.ndarray, "d 2"]:
    """Return the places (row, column) of the path along the first axis whose sum is largest."""
    sums = [weight[0]]
    for layer in weight[1:]:
        sums.append(ndimage.maximum_filter(sums[-1], 3, mode="nearest") + layer)
    row, column = divmod(int(np.argmax(sums[-1])), weight.shape[2])
    path = [(row, column)]
    for before in sums[-2::-1]:
        top, first = max(row - 1, 0), max(column - 1, 0)
        near = before[top : row + 2, first : column + 2]
        down, right = divmod(int(np.argmax(near)), near.shape[1])
        row, column = top + down, first + right
        path.append((row, column))
    return np.array(path[::-1])


def around_lungs(view: ChestView) -> tuple[slice, slice, slice]:
    """Return the box of the lungs, widened to the front, to the back and to the sides."""
    # To the sides, because a single lung lies beside the spine.
    depth, height, width = view.box
    around = view.voxels(AROUND_MM)
    rows, columns = (slice(max(span.start - around, 0), span.stop + around) for span in (height, width))
    return depth, rows, columns


def spine_path(view: ChestView) -> Int[np.ndarray, "d 2"]:
    """Return the place (row, column) of the vertebral column behind each slice of the lungs."""
    depth, rows, columns = around_lungs(view)
    start = min(max(round(view.centre[1]), rows.start), view.hu.shape[1] - 1)
    weight = np.minimum(view.thick_bone[depth, start : rows.stop, columns], 250.0)
    path: Int[np.ndarray, "d 2"] = brightest_path(weight) + np.array([start, columns.start])
    return path
