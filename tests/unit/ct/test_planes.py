"""The planes show superior above and the patient's right on the left."""

import numpy as np

from medsyn2.ct.planes import plot_planes
from medsyn2.vocabulary import PLANE_AXIS


def test_superior_and_anterior_are_above_and_pixels_to_scale() -> None:
    hu = np.zeros((4, 5, 6), np.int16)
    hu[3], hu[:, 0] = 100, 50  # superior, anterior
    figure = plot_planes(hu, (2.0, 1.0, 0.5), {}, "a title", (0, 100))
    pictures = dict(zip(PLANE_AXIS, (axes.images[0] for axes in figure.axes), strict=True))
    assert pictures["axial"].get_array()[0].tolist() == [50] * 6
    assert (pictures["coronal"].get_array()[0] == 100).all()
    assert [axes.get_aspect() for axes in figure.axes] == [2.0, 4.0, 2.0]


def test_the_slice_of_the_largest_contour_is_shown() -> None:
    mask = np.zeros((4, 5, 6), bool)
    mask[1, 2:4, 2:4] = True
    figure = plot_planes(
        np.zeros((4, 5, 6)), (1.0, 1.0, 1.0), {"heart": mask, "none": mask & False}, "", (0, 1)
    )
    assert [axes.get_title() for axes in figure.axes] == ["axial 1", "coronal 2", "sagittal 2"]
    assert [text.get_text() for text in figure.texts if text.get_text()] == ["heart"]
