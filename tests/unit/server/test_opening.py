"""The journey of a real CT: opened, edited, checked, taken home."""

import io
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.ct.geometry import resample_mask
from medsyn2.ct.mask_edits import ellipsoid_mask
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.server.opening import words_of
from medsyn2.server.session import item_file
from medsyn2.server.sources import alignment_of, open_source
from tests.unit.chests import scan_phantom, write_chest_model
from tests.unit.server.conftest import PageInProcess

FAST = {"solver": "euler", "num_steps": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def ct(folder):
    ct = scan_phantom(3)
    write_ct(folder / "ct.nii.gz", ct)
    return ct


@pytest.fixture(scope="module")
def chest(folder, ct):
    found = PageInProcess(folder / "session", write_chest_model(folder / "model", ct))
    yield found
    found.hold.__exit__(None, None, None)


@pytest.fixture(scope="module")
def header(chest, folder):
    response = chest.post("/api/open?as=ct&name=Meier.nii.gz", (folder / "ct.nii.gz").read_bytes())
    assert response.status_code == 201, response.text
    return response.json()["volumes"][0]


@pytest.fixture(scope="module")
def nodule(chest, folder, ct, header):
    """The id of a nodule that was drawn on the CT."""
    middle = ct.affine_mm[:3, :3] @ (np.array(ct.shape) * (0.5, 0.5, 0.3)) + ct.affine_mm[:3, 3]
    mask = ellipsoid_mask(ct.grid, middle.tolist(), (30.0, 30.0, 30.0))
    write_labels(folder / "nodule.nii.gz", LabelMap(mask, ct.affine_mm))
    content = (folder / "nodule.nii.gz").read_bytes()
    (found,) = chest.post(f"/api/open?as=mask&name=nodules.nii.gz&of={header['id']}", content).json()["masks"]
    assert found["volume_ml"] == pytest.approx(mask.sum() * np.prod(ct.spacing_mm) / 1000, rel=0.2)
    return found["id"]


def voxels(chest, identifier):
    header = chest.client.get(f"/api/volumes/{identifier}/header").json()
    content = chest.client.get(f"/api/volumes/{identifier}").content
    return CTVolume(np.frombuffer(content, "<i2").reshape(header["shape"]), np.array(header["affine"]))


def test_a_ct_is_shown_in_its_own_voxels_and_kept_as_it_came(chest, header, ct, folder):
    to_ct = alignment_of(chest.session, header["id"]).template_to_native_lps_mm
    assert (header["kind"], header["name"]) == ("real", "Meier")
    steps_mm = np.linalg.norm(to_ct[:3, :3] @ np.array(header["affine"])[:3, :3], axis=0)
    np.testing.assert_allclose(steps_mm, ct.spacing_mm, rtol=0.02)
    np.testing.assert_allclose(steps_mm, np.array(header["spacing_mm"]) * header["scale"], rtol=1e-3)
    assert header["native"]["shape"] == list(ct.shape)
    assert header["fit"]["lung_dice"] > 0.9
    hu = np.frombuffer(chest.client.get(f"/api/volumes/{header['id']}").content, "<i2")
    assert -1024 <= hu.min() < -800
    assert hu.max() > 100
    kept = [path.read_bytes() for path in (chest.session.root / "sources" / header["id"]).glob("ct*")]
    assert kept == [(folder / "ct.nii.gz").read_bytes()]
    assert [one["id"] for one in chest.client.get("/api/state").json()["volumes"]] == [header["id"]]


def test_an_edit_changes_its_region_alone_and_can_be_edited_again(chest, header, nodule, ct):
    asked = {"kind": "edit", "sampling": FAST, "mask": nodule, "words": "lung nodules", "margin_mm": 15.0}
    job, first = chest.make(**asked, source=header["id"], seeds=[1])
    assert job["state"] == "done", job
    assert (first["before"], first["real"], first["source"]) == (header["id"], header["id"], header["id"])
    path = item_file(chest.session, first["id"])
    after = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    region = sitk.GetArrayFromImage(sitk.ReadImage(str(path).replace(".nii.gz", "_region.nii.gz"))) > 0
    assert (after[~region] == ct.hu[~region]).all()
    assert (after[region] != ct.hu[region]).mean() > 0.5
    assert "--ct YOUR_CT" in first["command"]
    (again,) = chest.post("/api/open?as=ct&name=again.nii.gz", path.read_bytes()).json()["volumes"]
    assert (header["is_synthetic"], again["is_synthetic"]) == (False, True)
    assert "SYNTHETIC" in again["notes"][-1]
    before, shown = voxels(chest, header["id"]), voxels(chest, first["volume"])
    assert shown.grid == before.grid
    to_ct = alignment_of(chest.session, header["id"]).template_to_native_lps_mm
    near = resample_mask(LabelMap(region, ct.affine_mm), shown.grid, to_ct, threshold=0.0)
    assert (shown.hu[~near] == before.hu[~near]).all()
    assert (shown.hu[near] != before.hu[near]).mean() > 0.3
    job, second = chest.make(**{**asked, "margin_mm": None}, source=first["id"], seeds=[2])
    assert job["state"] == "done", job
    assert (second["before"], second["real"]) == (first["volume"], header["id"])
    assert open_source(chest.session, second["id"]).root == header["id"]
    chest.post(f"/api/items/{second['id']}/check")
    check = chest.client.get(f"/api/items/{second['id']}").json()["check"]
    assert check["asked_ml"] > 5
    assert chest.client.get(f"/api/items/{second['id']}/file?format=pair.png").content[:4] == b"\x89PNG"


def test_a_series_and_its_segmentation_are_opened(chest, header, nodule):
    _, made = chest.make(mask=nodule, words="lung nodules", sampling=FAST)
    content = chest.client.get(f"/api/items/{made['id']}/file?format=dicom.zip").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        segmentation = archive.read("SEG.dcm")
    (found,) = chest.post("/api/open?as=mask&name=SEG.dcm", segmentation).json()["masks"]
    assert (found["name"], found["structure"]) == ("lung nodules", "nodules")
    old, new = (chest.client.get(f"/api/masks/{one}").content for one in (nodule, found["id"]))
    assert old == new
    response = chest.post("/api/open?as=ct&name=series.zip", content)
    assert response.json().get("code") != "page-failed"  # noise is no chest, and is refused as such


def test_a_ct_is_forgotten_with_its_file(chest, folder):
    content = (folder / "ct.nii.gz").read_bytes()
    identifier = chest.post("/api/open?as=ct&name=a.nii.gz", content).json()["volumes"][0]["id"]
    assert chest.client.delete(f"/api/volumes/{identifier}").status_code == 200
    assert not (chest.session.root / "sources" / identifier).exists()
    assert chest.client.get(f"/api/volumes/{identifier}/header").status_code == 404


def test_a_model_without_a_template_opens_no_ct(page, folder, ct):
    response = page.post("/api/open?as=ct&name=a.nii.gz", (folder / "ct.nii.gz").read_bytes())
    assert (response.status_code, response.json()["code"]) == (400, "model-without-template")


def test_a_map_of_labels_is_as_many_masks(page, grid, tmp_path):
    labels = np.zeros(grid.shape, np.uint8)
    labels[2:6, 4:12, 4:12], labels[6:10, 4:12, 4:12], labels[2:10, 12:20, 4:12] = 1, 2, 7
    write_labels(tmp_path / "lobes.nii.gz", LabelMap(labels, grid.affine_mm, {1: "1", 2: "2", 7: "7"}))
    masks = page.post("/api/open?as=mask&name=lobes.nii.gz", (tmp_path / "lobes.nii.gz").read_bytes()).json()["masks"]
    assert [one["name"] for one in masks] == ["lobes 1", "lobes 2", "lobes 7"]
    assert {one["structure"] for one in masks} == {"lobes"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("left_nodules", "lung nodules"),
        ("pericardial-effusion 2", "pericardial effusion"),
        ("Ground Glass", "ground glass opacity"),
        ("mask", ""),
    ],
)
def test_words_follow_from_a_name(name, words):
    assert words_of(name) == words
