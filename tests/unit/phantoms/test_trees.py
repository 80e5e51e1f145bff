"""The lung's trees: they taper, stay in the lungs, and reach every lobe."""

import numpy as np
import pytest

from medsyn2.phantoms import draw_subject
from medsyn2.phantoms.central import great_vessels
from medsyn2.phantoms.chest import TUBE_MARGIN_MM, chest_at
from medsyn2.phantoms.fields import Points, tube_distance_at
from medsyn2.phantoms.trees import TWIG_MM, grow_trees


@pytest.fixture(scope="module")
def grown():
    subject = draw_subject(0, 7, ())
    vessels = great_vessels(subject.anatomy)
    return subject, vessels, grow_trees(subject.anatomy, vessels, subject.lesions)


def test_vessels_taper_to_twigs(grown):
    trees = grown[2]
    start, end = trees.vessels.radius_mm.T
    assert (end <= start * 1.001).mean() > 0.95
    assert end.min() == pytest.approx(TWIG_MM * 0.85, rel=0.1)
    assert 3 < start.max() < 12


def test_twigs_end_inside_every_lobe(grown):
    subject, vessels, trees = grown
    twigs = trees.vessels.end_mm[trees.vessels.radius_mm[:, 1] < 1.2 * TWIG_MM]
    points = Points(*twigs.T.astype(np.float32))
    tubes_mm = tube_distance_at(points, vessels.all_solid, TUBE_MARGIN_MM)
    chest = chest_at(subject.anatomy, points, tubes_mm, 0.0)
    assert (chest.space < 0).mean() > 0.98
    assert min(np.bincount(chest.lobes, minlength=6)[1:]) > 20


def test_airways_are_hollow_and_thinner_than_their_walls(grown):
    trees = grown[2]
    assert (trees.wall.radius_mm > trees.lumen.radius_mm).all()
    assert len(trees.lumen.start_mm) > 60


def test_branches_hang_together(grown):
    trees, vessels = grown[2], grown[1]
    ends = np.concatenate(
        [
            trees.vessels.end_mm,
            [vessels.artery_root_mm[side] for side in ("right", "left")],
            [vessels.vein_root_mm[side] for side in ("right", "left")],
        ]
    )
    gaps = np.linalg.norm(trees.vessels.start_mm[:, None] - ends[None], axis=2).min(axis=1)
    assert gaps.max() < 1e-3
