"""Scans: geometry, noise, padding, and files in the axis orders that converters leave behind."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.phantoms import draw_acquisition, draw_subject, render, scan, write_scan, write_truth
from medsyn2.phantoms.scanner import ORDERS


@pytest.fixture(scope="module")
def scanned():
    subject = draw_subject(0, 3, ())
    drawn = draw_acquisition(subject, 6.0)
    acquisition = replace(drawn, round_radius_mm=drawn.spacing_mm[1] * drawn.shape[1] / 2, padding_hu=-2000, table=True)
    return subject, acquisition, scan(subject, acquisition)


def test_the_scan_covers_the_lungs(scanned):
    _, acquisition, phantom = scanned
    lungs = phantom.truth["lungs"].labels != 0
    slices = lungs.any(axis=(1, 2))
    assert not slices[0]
    assert not slices[-1]
    assert not lungs[:, [0, -1]].any()
    assert not lungs[:, :, [0, -1]].any()
    assert phantom.volume.hu.dtype == np.int16
    assert phantom.volume.shape == acquisition.shape


def test_beyond_the_circle_is_padding(scanned):
    _, _, phantom = scanned
    hu = phantom.volume.hu
    assert (hu[:, 0, 0] == -2000).all()
    assert hu[:, hu.shape[1] // 2, hu.shape[2] // 2].min() > -1025
    share = (hu == -2000).mean()
    assert share == pytest.approx(1 - np.pi / 4, abs=0.02)


def test_noise_has_its_strength_and_grain(scanned):
    subject, acquisition, phantom = scanned
    clean = scan(subject, replace(acquisition, noise_hu=0.0))
    heart = phantom.truth["heart"].labels != 0
    noise = phantom.volume.hu.astype(float) - clean.volume.hu
    assert noise[heart].std() == pytest.approx(acquisition.noise_hu, rel=0.4)
    assert abs(noise[heart].mean()) < 2
    inner = noise[:, 20:-20, 20:-20]
    along = np.corrcoef(inner[:, :, :-1].ravel(), inner[:, :, 1:].ravel())[0, 1]
    assert along > 0.1


def test_the_table_is_under_the_body(scanned):
    subject, acquisition, phantom = scanned
    without = scan(subject, replace(acquisition, table=False))
    added = scan(subject, replace(acquisition, noise_hu=0.0)).volume.hu.astype(int)
    added -= scan(subject, replace(acquisition, noise_hu=0.0, table=False)).volume.hu
    table = added > 20
    assert table.any()
    assert np.median(without.volume.hu[table]) < -900
    assert not (table & (phantom.truth["lungs"].labels != 0)).any()
    assert np.argwhere(table)[:, 1].min() > np.argwhere(phantom.truth["lungs"].labels)[:, 1].max()


def test_scans_vary():
    drawn = [draw_acquisition(draw_subject(0, index, ()), 3.0) for index in range(30)]
    assert {acquisition.order for acquisition in drawn} == set(ORDERS)
    in_plane = np.array([acquisition.spacing_mm[1] for acquisition in drawn])
    assert in_plane.min() >= 3.0 * 0.85
    assert in_plane.max() <= 3.0 * 1.15
    assert {acquisition.padding_hu for acquisition in drawn} == {-1024, -2000, -3024}
    assert any(acquisition.round_radius_mm is None for acquisition in drawn)
    assert any(acquisition.stored_intercept for acquisition in drawn)
    assert draw_acquisition(draw_subject(0, 4, ()), 3.0) == drawn[4]


@pytest.mark.parametrize("order", ORDERS)
def test_files_come_back_canonical(scanned, tmp_path, order):
    _, acquisition, phantom = scanned
    acquisition = replace(acquisition, order=order, stored_intercept=-1024)
    path, truth = tmp_path / "scan.nii.gz", tmp_path / "lobes.nii.gz"
    write_scan(path, phantom.volume, acquisition)
    write_truth(truth, phantom.truth["lobe_labels"].labels, phantom.volume, acquisition)
    assert "".join(nib.aff2axcodes(nib.load(path).affine)) == order
    back = read_ct(path)
    assert np.array_equal(back.hu, phantom.volume.hu)
    assert back.affine_mm == pytest.approx(phantom.volume.affine_mm, abs=1e-3)
    assert np.array_equal(read_labels(truth).labels, phantom.truth["lobe_labels"].labels)


def test_files_are_the_same_every_time(scanned, tmp_path):
    _, acquisition, phantom = scanned
    again = scan(draw_subject(0, 3, ()), acquisition)
    assert np.array_equal(again.volume.hu, phantom.volume.hu)
    for name, volume in (("a", phantom.volume), ("b", again.volume)):
        write_scan(tmp_path / f"{name}.nii.gz", volume, acquisition)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_the_truth_is_the_painting_s(scanned):
    subject, acquisition, phantom = scanned
    painted = render(subject, acquisition.grid)
    for name, label_map in painted.truth.items():
        assert np.array_equal(label_map.labels, phantom.truth[name].labels), name
