"""A painted subject: plausible sizes, the right sides, stated lesion sizes, and the same on every grid."""

import numpy as np
import pytest

from medsyn2.ct.volume import Grid, axis_aligned_affine
from medsyn2.phantoms import Demand, draw_subject, render
from medsyn2.vocabulary import LOBES, STRUCTURES

DEMANDS = (
    Demand("pleural_effusion", "left", None, 500.0),
    Demand("pericardial_effusion", None, None, 10.0),
    Demand("ground_glass", "right", 3, 50.0),
    Demand("consolidation", "right", 5, 45.0),
    Demand("nodules", "right", 3, 16.0),
)


def around(subject, spacing_mm=(4.0, 4.0, 4.0)):
    x, y, z = subject.pose.carina_mm
    size_mm = (360.0, 300.0, 400.0)
    shape = tuple(int(extent / step) for extent, step in zip(size_mm, spacing_mm, strict=True))
    return Grid(shape, axis_aligned_affine(spacing_mm, (x - 200.0, y - 150.0, z - 235.0)))


def ml(label_map):
    return float((label_map.labels != 0).sum() * np.prod(label_map.spacing_mm)) / 1000.0


def world_of(label_map):
    index = np.argwhere(label_map.labels != 0)
    return index @ label_map.affine_mm[:3, :3].T + label_map.affine_mm[:3, 3]


@pytest.fixture(scope="module")
def sick():
    subject = draw_subject(3, 5, DEMANDS)
    return subject, render(subject, around(subject))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_healthy_chest_has_the_volumes_of_one(index):
    subject = draw_subject(11, index, ())
    truth = render(subject, around(subject)).truth
    assert 2500 < ml(truth["lungs"]) < 6800
    assert 250 < ml(truth["heart"]) < 1300
    assert 20 < ml(truth["airways"]) < 250
    assert 20 < ml(truth["vessels"]) < 400
    lobes = truth["lobe_labels"].labels
    assert set(np.unique(lobes)) == {0, *LOBES}
    assert np.array_equal(lobes != 0, truth["lungs"].labels != 0)
    for name in ("nodules", "ground_glass", "consolidation", "pleural_effusion", "pericardial_effusion"):
        assert not truth[name].labels.any()


def test_every_structure_has_its_truth(sick):
    _, phantom = sick
    assert set(phantom.truth) == {*STRUCTURES, "lungs", "lobe_labels"}
    assert all(label_map.labels.any() for label_map in phantom.truth.values())


def test_left_is_left_in_lps(sick):
    subject, phantom = sick
    middle = subject.pose.carina_mm[0]
    assert world_of(phantom.truth["pleural_effusion"])[:, 0].min() > middle - 10
    for lesion in ("ground_glass", "consolidation", "nodules"):
        assert world_of(phantom.truth[lesion])[:, 0].max() < middle + 10
    assert world_of(phantom.truth["heart"])[:, 0].mean() > middle
    labels = phantom.truth["lobe_labels"]
    x = (np.argwhere(np.isin(labels.labels, (1, 2))) @ labels.affine_mm[:3, :3].T + labels.affine_mm[:3, 3])[:, 0]
    assert x.min() > middle - 15


def test_upper_lobes_are_above_and_spine_is_behind(sick):
    subject, phantom = sick
    labels = phantom.truth["lobe_labels"]

    def z_of(lobe):
        index = np.argwhere(labels.labels == lobe)
        return (index @ labels.affine_mm[:3, :3].T + labels.affine_mm[:3, 3])[:, 2].mean()

    assert z_of(1) > z_of(2)
    assert z_of(3) > z_of(4) > z_of(5) - 30
    bone = np.argwhere(phantom.volume.hu > 300)
    middle = np.abs((bone @ labels.affine_mm[:3, :3].T + labels.affine_mm[:3, 3])[:, 0] - subject.pose.carina_mm[0]) < 8
    assert bone[middle][:, 1].mean() > np.argwhere(labels.labels)[:, 1].mean()


def test_densities_are_those_of_the_tissues(sick):
    _, phantom = sick
    hu, truth = phantom.volume.hu, {name: part.labels != 0 for name, part in phantom.truth.items()}
    abnormal = truth["ground_glass"] | truth["consolidation"] | truth["nodules"] | truth["vessels"] | truth["airways"]
    assert -900 < np.median(hu[truth["lungs"] & ~abnormal]) < -780
    assert 30 < np.median(hu[truth["heart"]]) < 55
    assert 0 < np.median(hu[truth["pleural_effusion"]]) < 20
    assert 15 < np.median(hu[truth["consolidation"]]) < 60
    assert -680 < np.median(hu[truth["ground_glass"]]) < -350
    assert np.median(hu[0]) < -80
    assert hu.min() >= -1024
    assert hu.max() > 400


def test_lesions_have_their_stated_sizes(sick):
    subject, _ = sick
    nodule = subject.lesions.nodules[0]
    body_to_world = np.linalg.inv(subject.pose.world_to_body)
    centre = body_to_world[:3, :3] @ nodule.centre_mm + body_to_world[:3, 3]
    fine = Grid((48, 48, 48), axis_aligned_affine((0.6, 0.6, 0.6), tuple(centre - 0.3 - 23 * 0.6)))
    mask = render(subject, fine).truth["nodules"]
    diameter = 2 * (3 * ml(mask) * 1000 / (4 * np.pi)) ** (1 / 3)
    assert diameter == pytest.approx(16.0, abs=0.4)
    extents = (np.ptp(world_of(mask), axis=0) + 0.6).tolist()
    assert extents == pytest.approx([16.0] * 3, abs=1.0)


def test_effusions_hold_their_volume(sick):
    _, phantom = sick
    assert ml(phantom.truth["pleural_effusion"]) == pytest.approx(500, rel=0.06)


def test_effusion_lies_at_the_back_and_compresses(sick):
    _, phantom = sick
    fluid, lungs = phantom.truth["pleural_effusion"], phantom.truth["lungs"]
    assert world_of(fluid)[:, 1].mean() > world_of(lungs)[:, 1].mean() + 25
    assert not (fluid.labels.astype(bool) & lungs.labels.astype(bool)).any()
    healthy = draw_subject(3, 5, ())
    without = render(healthy, around(healthy)).truth["lungs"]
    assert ml(without) - ml(lungs) > 400


def test_two_grids_agree():
    subject = draw_subject(3, 6, (Demand("pleural_effusion", "right", None, 600.0),))
    coarse, fine = (render(subject, around(subject, (s, s, s))) for s in (6.0, 3.0))
    for name in ("lungs", "heart", "pleural_effusion"):
        assert ml(coarse.truth[name]) == pytest.approx(ml(fine.truth[name]), rel=0.03), name
    every_other = fine.truth["lungs"].labels[::2, ::2, ::2]
    depth, height, width = coarse.volume.shape
    same = every_other[:depth, :height, :width] == coarse.truth["lungs"].labels
    assert same.mean() > 0.9999


def test_slabs_do_not_show(monkeypatch):
    subject = draw_subject(0, 1)
    grid = around(subject, (9.0, 6.0, 6.0))
    whole = render(subject, grid)
    monkeypatch.setattr("medsyn2.phantoms.rendering.MAX_SLAB_VOXELS", 7 * grid.shape[1] * grid.shape[2])
    parts = render(subject, grid)
    assert np.abs(parts.volume.hu - whole.volume.hu).max() <= 1
    for name, label_map in whole.truth.items():
        assert (label_map.labels != parts.truth[name].labels).mean() < 1e-5, name


def test_oblique_grids_show_the_same_body():
    subject = draw_subject(0, 2)
    grid = around(subject, (6.0, 6.0, 6.0))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    centre = np.append(subject.pose.carina_mm, 1.0)
    to_origin, back = np.eye(4), np.eye(4)
    to_origin[:3, 3], back[:3, 3] = -centre[:3], centre[:3]
    oblique = Grid(grid.shape, back @ turn @ to_origin @ grid.affine_mm)
    straight, turned = render(subject, grid).truth["lungs"], render(subject, oblique).truth["lungs"]
    assert ml(turned) == pytest.approx(ml(straight), rel=0.02)
    assert world_of(turned).mean(axis=0) == pytest.approx(world_of(straight).mean(axis=0), abs=1.5)
