"""Subjects depend only on seed and number, differ in shape, and have the requested lesions."""

import numpy as np
import pytest

from medsyn2.errors import MaskError
from medsyn2.phantoms import Demand, draw_subject


def test_a_subject_depends_on_seed_and_number_alone():
    first = draw_subject(0, 7)
    draw_subject(0, 3)
    assert draw_subject(0, 7) == first
    assert draw_subject(0, 8).anatomy != first.anatomy
    assert draw_subject(1, 7).anatomy != first.anatomy


def test_lesions_leave_the_anatomy_alone():
    healthy, sick = draw_subject(0, 4, ()), draw_subject(0, 4, (Demand("nodules", "left", None, 12.0),))
    assert healthy.anatomy == sick.anatomy
    assert healthy.pose == sick.pose
    assert not healthy.lesions.nodules
    assert [nodule.diameter_mm for nodule in sick.lesions.nodules] == [12.0]
    assert sick.lesions.nodules[0].lobe in (1, 2)


def test_about_half_the_subjects_have_a_lesion():
    subjects = [draw_subject(0, index) for index in range(60)]
    sick = [
        bool(s.lesions.nodules or s.lesions.opacities or s.lesions.pleural or s.lesions.pericardial) for s in subjects
    ]
    assert 0.4 < np.mean(sick) < 0.75
    sides = [effusion.side for subject in subjects for effusion in subject.lesions.pleural]
    assert {"left", "right"} == set(sides)
    assert {opacity.kind for s in subjects for opacity in s.lesions.opacities} == {"ground_glass", "consolidation"}


def test_shapes_vary():
    subjects = [draw_subject(0, index).anatomy for index in range(40)]
    domes = np.array([anatomy.dome_z_mm for anatomy in subjects])
    assert domes.std(axis=0).min() > 8
    assert (domes[:, 0] - domes[:, 1]).std() > 6
    enlarged = [anatomy.cardiothoracic_ratio > 0.5 for anatomy in subjects]
    assert 0.05 < np.mean(enlarged) < 0.5


def test_what_does_not_fit_is_refused():
    with pytest.raises(MaskError, match="fits nowhere"):
        draw_subject(0, 0, (Demand("nodules", "left", 1, 160.0),))
    with pytest.raises(MaskError, match="right"):
        draw_subject(0, 0, (Demand("pleural_effusion", "right", None, 9000.0),))
    with pytest.raises(MaskError, match="left"):
        draw_subject(0, 0, (Demand("ground_glass", "left", 4, 30.0),))


def test_the_pose_is_a_rigid_motion():
    subject = draw_subject(0, 9)
    matrix = subject.pose.world_to_body
    assert matrix[:3, :3] @ matrix[:3, :3].T == pytest.approx(np.eye(3))
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)
    assert matrix @ np.append(subject.pose.carina_mm, 1.0) == pytest.approx([0, 0, 0, 1], abs=1e-9)
