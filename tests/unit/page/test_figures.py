"""Pictures are PNGs that do not change from run to run and show patients the way they are held."""

import base64

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.page.figures import Panel, bars_png, curves_png, panel_png, show_slice


def volume(seed: int = 0) -> CTVolume:
    """Noise on a small grid."""
    hu = np.random.default_rng(seed).integers(-1000, 500, (12, 16, 20)).astype(np.int16)
    return CTVolume(hu, axis_aligned_affine((4.0, 2.0, 1.0), (0.0, 0.0, 0.0)))


def decoded(uri: str) -> bytes:
    """The PNG in a data URI."""
    assert uri.startswith("data:image/png;base64,")
    return base64.b64decode(uri.split(",")[1])


def test_panel_is_a_reproducible_png_without_dates() -> None:
    mask = volume().hu > 0
    first, second = (decoded(panel_png(Panel(volume(), volume(1), mask))) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert b"tIME" not in first
    assert b"Software" not in first


def test_axial_slice_has_the_patient_s_right_on_the_left_and_coronal_is_upright() -> None:
    hu = np.full((12, 16, 20), -1000, np.int16)
    hu[:, :, 0] = 400  # the patient's right
    hu[-1] = 400  # the top
    shown = CTVolume(hu, volume().affine_mm)
    images = {}
    for plane, index in (("axial", 3), ("coronal", 5), ("sagittal", 7)):
        axis = Figure().subplots()
        show_slice(axis, shown, plane, index, (-1000, 400))
        images[plane] = np.asarray(axis.images[0].get_array())
    assert images["axial"][:, 0].min() == 1
    assert images["axial"][:, 1:].max() == 0
    assert images["coronal"][0].min() == 1
    assert images["coronal"][1:, 1:].max() == 0
    assert images["sagittal"].shape == (12, 16)
    assert images["sagittal"][0].min() == 1


def test_curves_and_bars_are_drawn() -> None:
    table = pd.DataFrame({"step": range(1, 80), "loss": np.geomspace(3, 0.1, 79)})
    assert decoded(curves_png({"train_dit": table})).startswith(b"\x89PNG")
    assert decoded(bars_png(["lungs"], {"requested": [0.9], "shuffled": [0.7]}, "Dice")).startswith(b"\x89PNG")
