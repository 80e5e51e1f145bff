import numpy as np

from medsyn2.ct.anatomy.spine import brightest_path, darkest_of_widest_path, spine_path


def rod(gap: bool = False) -> np.ndarray:
    """A leaning bright rod in the dark, with a gap or without."""
    weight = np.full((12, 20, 20), 40.0, dtype=np.float32)
    for at in range(12):
        weight[at, 3 + at : 6 + at, 10] = 200
    if gap:
        weight[6] = 40
    return weight


def test_a_path_keeps_the_value_of_its_darkest_point() -> None:
    assert darkest_of_widest_path(rod()) == 200
    assert darkest_of_widest_path(rod(gap=True)) == 40
    assert darkest_of_widest_path(np.moveaxis(rod(), 1, 0)) == 40


def test_the_brightest_path_follows_a_leaning_rod() -> None:
    path = brightest_path(rod())
    assert path.shape == (12, 2)
    assert (path[:, 1] == 10).all()
    assert (np.abs(path[:, 0] - (4 + np.arange(12))) <= 1).all()


def test_the_spine_is_behind_the_lungs_middle_and_in_the_bone(view) -> None:
    path = spine_path(view)
    assert len(path) == view.size[0]
    assert (path[:, 0] > view.centre[1]).all()
    depth = np.arange(view.box[0].start, view.box[0].stop)
    assert np.median(view.thick_bone[depth, path[:, 0], path[:, 1]]) > 100
