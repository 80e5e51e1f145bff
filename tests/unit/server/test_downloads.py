import io
import json
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread
from pydicom import dcmread

from medsyn2.pipeline.marks import find_mark
from medsyn2.server.session import item_file, stem_of


@pytest.fixture
def download(page, item, tmp_path):
    def download(kind):
        response = page.client.get(f"/api/items/{item['id']}/file?format={kind}")
        assert response.status_code == 200
        name = response.headers["content-disposition"].split('"')[1]
        path = tmp_path / name
        path.write_bytes(response.content)
        return path

    return download


@pytest.mark.parametrize("kind", ["nii.gz", "mha"])
def test_a_file_has_the_voxels_and_says_synthetic(page, item, download, kind):
    path = download(kind)
    image, expected = sitk.ReadImage(str(path)), sitk.ReadImage(str(item_file(page.session, item["id"])))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
    assert image.GetOrigin() == pytest.approx(expected.GetOrigin())
    assert find_mark(path).verdict == "marked"
    assert path.name == f"{stem_of(item['id'])}.{kind}"


def test_a_series_has_its_slices_and_its_segmentation(download, tiny_mask):
    with zipfile.ZipFile(download("dicom.zip")) as archive:
        slices = [dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()]
    assert [one.Modality for one in slices] == ["CT"] * 16 + ["SEG"]
    assert {one.SyntheticData for one in slices} == {"YES"}
    assert slices[-1].pixel_array.sum() == tiny_mask.sum()
    assert "effusion" not in str(slices[0])


@pytest.mark.parametrize("kind", ["png", "pair.png"])
def test_a_picture_says_synthetic_in_its_pixels(download, kind):
    pixels = imread(download(kind))
    red = (pixels[..., 0] > 0.8) & (pixels[..., 1] < 0.5) & (pixels[..., 2] < 0.5)
    rows = np.array_split(red, 2) if kind == "pair.png" else [red]
    assert all(np.array_split(row, 3, axis=1)[plane].sum() > 50 for row in rows for plane in range(3))


def test_the_archive_of_all_is_enough_to_make_it_again(page, item, download):
    with zipfile.ZipFile(download("zip")) as archive:
        names, stem = archive.namelist(), stem_of(item["id"])
        assert {f"{stem}.nii.gz", f"{stem}.json", f"{stem}_mask.nii.gz", f"{stem}.png", "README.txt"} <= set(names)
        assert not [name for name in names if "latents" in name or "/" in name]
        assert json.loads(archive.read(f"{stem}.json"))["volume"]["file"] == f"{stem}.nii.gz"
        text = archive.read("README.txt").decode()
    assert item["command"] in text
    assert "not for diagnosis" in text


def test_nothing_is_left_on_the_way(page, download):
    for kind in ("mha", "zip"):
        download(kind)
    assert list((page.session.root / "work").iterdir()) == []


@pytest.mark.parametrize("kind", ["", "exe", "../x", "nrrd", "nii.gz/"])
def test_another_format_is_refused(page, item, kind):
    response = page.client.get(f"/api/items/{item['id']}/file", params={"format": kind})
    assert (response.status_code, response.json()["code"]) == (400, "format-unknown")


@pytest.mark.parametrize("kind", ["nii.gz", "mha", "nrrd"])
def test_a_mask_is_saved_and_opened_again(page, item, tiny_mask, kind):
    content = page.client.get(f"/api/masks/{item['mask']}/file?format={kind}").content
    response = page.post(f"/api/open?as=mask&name=heart.{kind}", content)
    (found,) = response.json()["masks"]
    assert (found["name"], found["structure"], found["notes"]) == ("heart", "heart", [])
    old, new = (page.client.get(f"/api/masks/{one}").content for one in (item["mask"], found["id"]))
    assert old == new
