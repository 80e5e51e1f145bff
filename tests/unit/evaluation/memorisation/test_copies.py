"""Planted copies are found, honest samples are not accused, and patients are no neighbours of themselves."""

import numpy as np
import pytest
from scipy import ndimage

from medsyn2.evaluation.features.thumbnails import thumbnail
from medsyn2.evaluation.memorisation.copies import Chance, Memorisation, Points, Search, standardise

LUNG_HU = (-1350.0, 150.0)

WIDTH = 12


def cohort(seed: int, num: int, name: str, shift: float = 0.0) -> Points:
    features = np.random.default_rng(seed).normal(size=(num, WIDTH)) + shift
    return Points(features, tuple(f"{name}{i}" for i in range(num)))


TRAIN, HELD_OUT = cohort(0, 200, "t"), cohort(1, 100, "h")


def searched(train: Points, held_out: Points, synthetic: Points) -> Memorisation:
    train, held_out, synthetic = standardise(train, held_out, synthetic)
    return Search(train, held_out).memorisation(synthetic)


def anatomy(seed: int, num: int, name: str, blur_voxels: float = 0.0) -> Points:
    """Return thumbnails of a mean volume with what is each patient's own, fine noise, and then a blur."""
    rng, places = np.random.default_rng(seed), []
    shared = ndimage.gaussian_filter(np.random.default_rng(99).normal(size=(48, 48, 48)), 8)
    for _ in range(num):
        own = ndimage.gaussian_filter(rng.normal(size=shared.shape), 4)
        hu = -600 + 300 * shared / shared.std() + 200 * own / own.std() + rng.normal(0, 100, shared.shape)
        places.append(thumbnail(ndimage.gaussian_filter(hu, blur_voxels), LUNG_HU))
    return Points(np.stack(places), tuple(f"{name}{i}" for i in range(num)))


def test_planted_copies_are_found_and_are_of_the_right_volumes() -> None:
    honest = cohort(2, 40, "s").places
    copies = TRAIN.places[[7, 99, 123]] + np.random.default_rng(3).normal(size=(3, WIDTH)) * 0.05
    found = searched(TRAIN, HELD_OUT, Points(np.concatenate([honest, copies]), tuple("x" * 43)))
    assert found.suspect[-3:].all()
    assert found.suspect[:-3].sum() <= 2
    assert found.synthetic.index[-3:].tolist() == [7, 99, 123]
    assert found.synthetic.contrast[-3:].max() < 0.2


def test_honest_samples_look_like_held_out_ones() -> None:
    found = [searched(TRAIN, HELD_OUT, cohort(seed, 100, "s")) for seed in range(10, 20)]
    assert abs(np.mean([one.copying_z for one in found])) < 1.0
    assert np.mean([one.suspect.mean() for one in found]) < 0.04
    for one in found:
        assert one.authenticity == pytest.approx(one.held_out_authenticity, abs=20)


def test_a_generator_that_copies_everything_is_seen_by_every_number() -> None:
    noise = np.random.default_rng(4).normal(size=TRAIN.places.shape) * 0.02
    found = searched(TRAIN, HELD_OUT, Points(TRAIN.places + noise, TRAIN.patients))
    assert found.copying_z < -10
    assert found.authenticity == 0
    assert found.suspect.all()


def test_two_scans_of_one_patient_are_not_neighbours() -> None:
    """Otherwise each training volume's own distance is small, and copies look authentic."""
    twice = Points(np.concatenate([TRAIN.places, TRAIN.places + 1e-3]), TRAIN.patients * 2)
    copies = Points(TRAIN.places[:20] + 0.02, tuple("c" * 20))
    assert searched(twice, HELD_OUT, copies).suspect.all()


def test_statistic_is_the_mann_whitney_z() -> None:
    found = searched(TRAIN, HELD_OUT, cohort(5, 60, "s", shift=1.0))
    first, second = found.synthetic.distance, found.held_out.distance
    above = (first[:, None] > second[None]).sum()
    n, m = len(first), len(second)
    assert found.copying_z == pytest.approx((above - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
    assert found.copying_z > 3


def test_shared_patients_and_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="both in training and held out"):
        Search(TRAIN, Points(HELD_OUT.places, TRAIN.patients[:100]))
    with pytest.raises(ValueError, match="three training patients"):
        Search(Points(TRAIN.places[:4], ("a", "a", "b", "b")), HELD_OUT)
    with pytest.raises(ValueError, match="one synthetic volume"):
        Search(TRAIN, HELD_OUT).memorisation(Points(np.empty((0, WIDTH)), ()))


def test_constant_features_say_nothing_and_scale_does_not_matter() -> None:
    wide = [
        Points(np.concatenate([p.places * 100, np.full((len(p.patients), 1), 7.0)], 1), p.patients)
        for p in (TRAIN, HELD_OUT, cohort(6, 30, "s"))
    ]
    plain = searched(TRAIN, HELD_OUT, cohort(6, 30, "s"))
    np.testing.assert_allclose(searched(*wide).synthetic.distance, plain.synthetic.distance, rtol=1e-6)


def test_copies_are_found_behind_a_blur_and_blurred_strangers_are_not_accused() -> None:
    """A blur brings every volume nearer to the mean, and so to every training volume."""
    train, held_out = anatomy(10, 24, "t"), anatomy(11, 20, "h")
    copies, strangers = anatomy(10, 24, "c", blur_voxels=3.0), anatomy(12, 20, "s", blur_voxels=3.0)
    found, others = (Search(train, held_out).memorisation(one) for one in (copies, strangers))
    assert found.synthetic.index.tolist() == list(range(24))
    assert found.suspect.all()
    assert found.authenticity == 0
    assert found.copying_z < -5
    assert others.suspect.sum() <= 2


def test_contrast_is_to_the_nearest_volumes_of_other_patients() -> None:
    """A second scan of the copied patient is as near as the first, and says nothing of how far others are."""
    line = np.array([[0.0], [0.1], [4.0], [5.0], [6.0], [7.0], [8.0]])
    train = Points(line, ("a", "a", "b", "c", "d", "e", "f"))
    search = Search(train, Points(line[:2] + 20, ("g", "h")))
    found = search.memorisation(Points(np.array([[1.0]]), ("x",))).synthetic
    assert found.index.tolist() == [1]
    assert found.contrast.tolist() == pytest.approx([0.9 / np.mean([3, 4, 5, 6])])
    assert found.ratio.tolist() == pytest.approx([0.9 / 3.9])


def test_a_copy_bit_for_bit_is_at_no_distance_and_others_are_as_far_as_their_difference() -> None:
    synthetic = Points(np.concatenate([TRAIN.places[3:4], cohort(9, 4, "s").places]), tuple("vwxyz"))
    found = Search(TRAIN, HELD_OUT).memorisation(synthetic).synthetic
    assert found.distance[0] == found.contrast[0] == found.ratio[0] == 0
    apart = np.linalg.norm(synthetic.places[:, None] - TRAIN.places[None], axis=2)
    assert found.index.tolist() == apart.argmin(axis=1).tolist()
    np.testing.assert_allclose(found.distance, apart.min(axis=1), rtol=1e-12)


def test_the_chance_of_suspects_is_that_of_a_random_order() -> None:
    rng, counts = np.random.default_rng(0), []
    for _ in range(4000):
        both = rng.permutation(11).astype(float)
        counts.append(Chance.of(both[:6], both[6:]).found)
    found = Chance.of(np.array([1.0, 2.0, 9.0, 9.0, 9.0, 9.0]), np.arange(3.0, 8.0))
    assert found.found == 2
    assert found.expected == pytest.approx(1.0) == pytest.approx(np.mean(counts), abs=0.05)
    assert found.p == pytest.approx(6 / 11 * 5 / 10)
    assert found.p == pytest.approx(np.mean(np.array(counts) >= 2), abs=0.03)
    assert Chance.of(np.full(6, 9.0), np.arange(5.0)).p == 1.0


def test_two_suspect_volumes_of_one_patient_are_one_patient() -> None:
    copies = TRAIN.places[[7, 7, 99]] + 0.01
    synthetic = Points(
        np.concatenate([copies, cohort(2, 20, "s").places]), ("a", "a", "b", *cohort(2, 20, "s").patients)
    )
    chance = Search(TRAIN, HELD_OUT).memorisation(synthetic).chance
    assert chance.found == 2
    assert chance.p < 0.05


def test_a_training_volume_among_the_held_out_is_a_duplicate() -> None:
    twice = Points(np.concatenate([HELD_OUT.places, TRAIN.places[:1] + 0.02]), (*HELD_OUT.patients, "again"))
    found = Search(TRAIN, twice).duplicates
    assert found.nonzero()[0].tolist() == [100]
