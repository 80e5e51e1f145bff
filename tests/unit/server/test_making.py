import json
import shlex

import numpy as np
import pytest
from safetensors.torch import load_file

from medsyn2.cli import main
from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import LabelMap
from medsyn2.flow import Sampling
from medsyn2.pipeline import Synthetic
from medsyn2.pipeline.marks import find_mark
from medsyn2.server.session import item_file, stem_of
from medsyn2.server.voxels import read_mask

FAST = {"solver": "euler", "num_steps": 2}

SAMPLING = Sampling("euler", 2)


def voxels(page, volume):
    header = page.client.get(f"/api/volumes/{volume}/header").json()
    return np.frombuffer(page.client.get(f"/api/volumes/{volume}").content, "<i2").reshape(header["shape"])


def test_a_result_is_the_volume_that_the_pipeline_makes(page, item, tiny_mask, grid):
    expected = page.pipeline(
        findings="Large pleural effusion.",
        mask=LabelMap(tiny_mask, grid.affine_mm),
        mask_text="heart",
        seed=4,
        sampling=SAMPLING,
    )
    np.testing.assert_array_equal(voxels(page, item["volume"]), expected.volume.hu)
    assert (item["report"], item["words"], item["seed"]) == ("Large pleural effusion.", "heart", 4)
    assert item["name"] == "heart, seed 4"
    assert (item["before"], item["check"], item["real"]) == (None, None, None)
    assert find_mark(item_file(page.session, item["id"])).verdict == "certain"


def test_its_command_makes_the_same_bytes_again(page, item, monkeypatch):
    path = item_file(page.session, item["id"])
    monkeypatch.chdir(path.parent)
    assert main(shlex.split(item["command"])[1:]) == 0
    assert (path.parent / "again.nii.gz").read_bytes() == path.read_bytes()
    assert item["recipe"] == json.loads(path.with_name(f"{stem_of(item['id'])}.json").read_text(encoding="utf-8"))


def test_several_seeds_give_several_volumes(page):
    job, last = page.make(seeds=[5, 6, 7])
    items = [page.session.read("items", one) for one in job["items"]]
    assert [one["seed"] for one in items] == [5, 6, 7]
    assert last["id"] == items[-1]["id"]
    volumes = [voxels(page, one["volume"]).tobytes() for one in items]
    assert len(set(volumes)) == 3


def test_an_edit_goes_on_from_the_latents(page, item):
    _, edited = page.make(kind="edit", source=item["id"], findings="No effusion.", strength=0.5)
    latents = load_file(item_file(page.session, item["id"]).with_name("latents.safetensors"))["latents"]
    recipe = page.pipeline.recipe(
        findings="Large pleural effusion.",
        mask=read_mask(page.session, item["mask"], page.page.grid),
        mask_text="heart",
        seed=4,
        sampling=SAMPLING,
    )
    before = Synthetic(
        read_ct(item_file(page.session, item["id"])), recipe, page.pipeline.description.fingerprint, latents
    )
    expected = page.pipeline.edit(before, findings="No effusion.", strength=0.5, sampling=SAMPLING)
    np.testing.assert_array_equal(voxels(page, edited["volume"]), expected.volume.hu)
    assert (edited["before"], edited["source"], edited["strength"]) == (item["volume"], item["id"], 0.5)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "edit"}, "edit-without-source"),
        ({"kind": "generate", "source": "ITEM"}, "edit-without-source"),
        ({"kind": "edit", "source": "ITEM", "region": "MASK"}, "option-without-effect"),
        ({"kind": "edit", "source": "ITEM", "seeds": [1, 2]}, "option-without-effect"),
        ({"mask": "MASK"}, "mask-without-words"),
        ({"findings": "\u4f60 \u597d \u55ce"}, "report-unknown-words"),
    ],
)
def test_an_order_that_makes_no_sense_fails_in_words(page, item, change, code):
    ids = {"ITEM": item["id"], "MASK": item["mask"]}
    order = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in change.items()}
    before = len(page.session.all("items"))
    job = page.post("/api/jobs", **{"kind": "generate", "sampling": FAST, **order}).json()["job"]
    assert (job["state"], job["error"]["code"]) == ("failed", code)
    assert len(page.session.all("items")) == before
    assert str(page.session.root) not in json.dumps(job)


def test_words_without_a_mask_are_left_alone(page):
    job, last = page.make(words="heart")
    assert (job["state"], last["words"]) == ("done", None)
    assert last["name"].startswith("no condition, seed ")


def test_names_tell_results_apart(page, item):
    report = "There is a large pleural effusion on the right and none on the left."
    edit = {"kind": "edit", "source": item["id"]}
    orders = [
        {"findings": report, "seeds": [11]},
        {"findings": report, "seeds": [12]},
        {"findings": report, "seeds": [12]},
        {**edit, "findings": "No effusion.", "strength": 0.25},
        {**edit, "findings": "No effusion.", "strength": 0.5, "mask": item["mask"], "words": "heart"},
        {**edit, "strength": 0.5},
    ]
    assert [page.make(**order)[1]["name"] for order in orders] == [
        "There is a large pleural effusion on ..., seed 11",
        "There is a large pleural effusion on ..., seed 12",
        "There is a large pleural effusion on ..., seed 12 (2)",
        "No effusion, strength 0.25, seed 4",
        "heart, strength 0.5, seed 4",
        "no condition, strength 0.5, seed 4",
    ]
    names = [one["name"] for one in page.session.all("items")]
    assert len(set(names)) == len(names)
