"""The challenge's numbers, against formulas and SciPy's square root of a matrix."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from medsyn2.evaluation.vlm3d.numbers import clip_rows, fid_rows, video_rows

RNG = np.random.default_rng(0)


def by_scipy(first, second):
    covariances = [np.cov(one, rowvar=False) for one in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1])
    return np.sum((first.mean(0) - second.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * np.real(root))


def values(rows):
    return {row["number"]: row["value"] for row in rows}


def test_the_video_distance_is_the_mean_of_groups_of_four_and_a_single_last_one_is_left_out():
    real, synthetic = RNG.normal(size=(9, 3)), RNG.normal(1, 2, size=(9, 3))
    groups = [by_scipy(real[part], synthetic[part]) for part in (slice(0, 4), slice(4, 8))]
    first, every = video_rows(real, synthetic)
    assert first["value"] == pytest.approx(np.mean(groups), rel=1e-4)
    assert (first["num_groups"], first["num_volumes"]) == (2, 9)
    assert every["value"] == pytest.approx(by_scipy(real, synthetic), rel=1e-4)
    assert first["real"] == pytest.approx(by_scipy(real[:4], real[4:8]), rel=1e-4)
    assert values(video_rows(real[:6], synthetic[:6]))["FVD_CTNet"] == pytest.approx(
        (groups[0] + by_scipy(real[4:6], synthetic[4:6])) / 2, rel=1e-4
    )


def test_one_volume_has_no_video_distance():
    assert all(np.isnan(row["value"]) for row in video_rows(np.ones((1, 3)), np.ones((1, 3))))


def test_clip_scores_are_cosines_that_are_not_negative():
    east, north = np.eye(2)
    real, synthetic, texts = (np.stack(one) for one in ([east, north], [east, -north], [east, north]))
    found = {row["number"]: row for row in clip_rows(real, synthetic, texts)}
    assert found["CLIPScore"]["value"] == found["CLIPScore_I2I"]["value"] == found["CLIPScore_mean"]["value"] == 50
    assert found["CLIPScore"]["real"] == 100
    assert found["CLIPScore_I2I"]["real"] == 0


def test_the_planes_have_the_challenge_s_names():
    found = values(fid_rows({"axial": (1, 0.1), "coronal": (2, 0.2), "sagittal": (6, 0.3)}, 5))
    assert found == {"FID_2p5D_Avg": 3, "FID_2p5D_XY": 1, "FID_2p5D_XZ": 2, "FID_2p5D_YZ": 6}
