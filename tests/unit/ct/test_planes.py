"""The planes show superior above and the patient's right on the left."""

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from medsyn2.ct.planes import plot_planes, save_overlay
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
    figure = plot_planes(np.zeros((4, 5, 6)), (1.0, 1.0, 1.0), {"heart": mask, "none": mask & False}, "", (0, 1))
    assert [axes.get_title() for axes in figure.axes] == ["axial 1", "coronal 2", "sagittal 2"]
    assert [text.get_text() for text in figure.texts if text.get_text()] == ["heart"]


SHAPE = (24, 30, 36)


def scan(bright: tuple[slice, slice, slice]) -> tuple[np.ndarray, tuple[float, float, float]]:
    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[bright] = 1000
    return hu, (4.0, 3.0, 3.0)


def panels(path: Path, contours: dict, bright: tuple[slice, slice, slice]) -> list[np.ndarray]:
    """The three pictures, side by side, as grey values."""
    save_overlay(path, *scan(bright), contours, "a title")
    image = imread(path)[40:335, :, :3]
    return np.array_split(image, 3, axis=1)


def test_same_input_same_bytes_without_date_and_software(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[5:15, 8:20, 10:25] = True
    for name in ("a.png", "b.png"):
        save_overlay(tmp_path / name, *scan((slice(3, 9),) * 3), {"mask": mask}, "case 1\nlung Dice 0.9")
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert b"Software" not in content
    assert b"tIME" not in content


def test_superior_is_up_and_the_right_side_is_left(tmp_path: Path) -> None:
    superior_right = (slice(16, 24), slice(0, 30), slice(0, 12))
    axial, coronal, sagittal = panels(tmp_path / "a.png", {}, superior_right)
    half = coronal.shape[0] // 2
    assert coronal[:half].mean() > 3 * coronal[half:].mean()
    left, right = np.array_split(coronal, 2, axis=1)
    assert left.mean() > 3 * right.mean()
    assert axial.mean() < 0.2  # the middle slice is below the bright block
    assert sagittal.mean() < 0.2


def test_slices_are_cut_where_the_masks_are_largest(tmp_path: Path) -> None:
    block = (slice(16, 24), slice(0, 30), slice(0, 12))
    mask = np.zeros(SHAPE, dtype=bool)
    mask[18:20, 5:25, 3:9] = True
    axial, _, sagittal = panels(tmp_path / "a.png", {"mask": mask}, block)
    assert axial.mean() > 0.2
    assert sagittal.mean() > 0.2


def test_outline_and_legend_have_the_mask_s_colour(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[5:15, 8:20, 10:25] = True
    nowhere = np.zeros(SHAPE, dtype=bool)
    save_overlay(tmp_path / "a.png", *scan((slice(0, 0),) * 3), {"heart": mask, "nodules": nowhere}, "")
    image = imread(tmp_path / "a.png")[..., :3]
    coloured = np.ptp(image, axis=2) > 0.3
    thirds = np.array_split(coloured[40:335], 3, axis=1)
    assert all(third.sum() > 100 for third in thirds)
    assert coloured[340:].any()
    save_overlay(tmp_path / "b.png", *scan((slice(0, 0),) * 3), {"heart": mask}, "")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_full_and_absent_masks_are_no_fault(tmp_path: Path) -> None:
    save_overlay(tmp_path / "a.png", *scan((slice(0, 0),) * 3), {"all": np.ones(SHAPE, dtype=bool)}, "")
    save_overlay(tmp_path / "b.png", *scan((slice(0, 0),) * 3), {}, "")
    assert (tmp_path / "b.png").stat().st_size > 1000


def test_a_single_slice_with_a_mask_is_shown() -> None:
    mask = np.zeros((1, 5, 6), bool)
    mask[0, 2, 3] = True
    assert plot_planes(mask.astype(np.int16), (1.0, 1.0, 1.0), {"mask": mask}, "$\\frac{", (0.0, 1.0)).axes
