import numpy as np
import pytest

from medsyn2.ct.registration.affine import grid_box_mm
from medsyn2.ct.volume import CTVolume, Grid, axis_aligned_affine
from medsyn2.server.problems import Refusal
from medsyn2.server.sources import alignment_of, open_source, show_ct, view_grid

MODEL = Grid((64, 96, 96), axis_aligned_affine((4.9, 3.2667, 3.2667), (-150.0, -140.0, 20.0)))


def ct_grid(spacing_mm, shape=(512, 512, 512)):
    return Grid(shape, axis_aligned_affine(spacing_mm, (-170.0, -160.0, 0.0)))


@pytest.mark.parametrize(
    ("spacing_mm", "scale", "shape"),
    [
        ((2.5, 0.8, 0.8), 1.0, (125, 392, 392)),  # 313.6 mm in steps of the CT's voxels
        ((2.5, 0.8, 0.8), 1.25, (157, 448, 448)),  # lungs larger than the template's: more voxels
        ((0.5, 0.3, 0.3), 1.0, (448, 448, 448)),
        ((5.0, 4.0, 0.8), 1.0, (64, 96, 392)),  # coarser than the model
    ],
)
def test_a_ct_is_shown_over_the_models_extent_in_its_own_voxels(spacing_mm, scale, shape):
    found = view_grid(ct_grid(spacing_mm), MODEL, np.diag([scale, scale, scale, 1.0]))
    assert found.shape == shape
    np.testing.assert_allclose(grid_box_mm(found), grid_box_mm(MODEL))


def test_voxels_that_lie_on_the_view_are_shown_as_they_are(rng):
    grid = view_grid(ct_grid((1.6, 1.5, 1.4)), Grid((16, 12, 14), MODEL.affine_mm), np.eye(4))
    ct = CTVolume(rng.integers(-1024, 3000, grid.shape, np.int16), grid.affine_mm)
    shown = show_ct(ct, Grid((16, 12, 14), MODEL.affine_mm), np.eye(4))
    assert shown.grid == grid
    np.testing.assert_array_equal(shown.hu, ct.hu)


def test_a_turned_and_larger_ct_is_shown_where_its_registration_says():
    """HU that are linear in space stay what they are at each place, however they are interpolated."""
    slope = np.array([1.5, -2.0, 2.5])
    small = Grid((24, 30, 28), MODEL.affine_mm)
    turn = np.array([[1.1, -0.1, 0.02, 4.0], [0.1, 1.2, -0.03, -3.0], [0.0, 0.04, 0.9, 6.0], [0.0, 0.0, 0.0, 1.0]])
    own = ct_grid((2.0, 1.5, 1.5), (130, 160, 160))

    def place_mm(grid):
        index = np.moveaxis(np.indices(grid.shape), 0, -1)
        return index @ grid.affine_mm[:3, :3].T + grid.affine_mm[:3, 3]

    shown = show_ct(CTVolume((place_mm(own) @ slope).astype(np.float32), own.affine_mm), small, turn)
    points_mm = place_mm(shown.grid) @ turn[:3, :3].T + turn[:3, 3]
    index = (points_mm - own.affine_mm[:3, 3]) @ np.linalg.inv(own.affine_mm[:3, :3]).T
    inside = np.all((index >= 0) & (index <= np.array(own.shape) - 1), axis=-1)
    assert inside.mean() > 0.5
    assert np.abs(shown.hu - points_mm @ slope)[inside].max() <= 0.51


def test_a_volume_of_the_model_is_no_real_ct(page, item):
    with pytest.raises(Refusal, match="the model made"):
        open_source(page.session, item["id"])


@pytest.mark.parametrize("identifier", ["0" * 16, "..", ""])
def test_an_unknown_ct_is_refused(page, identifier):
    for look in (open_source, alignment_of):
        with pytest.raises(Refusal):
            look(page.session, identifier)
