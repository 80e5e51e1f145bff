import gzip

import numpy as np
import pytest
from starlette.testclient import TestClient

from medsyn2.server import routes
from medsyn2.server.runs import LENGTH, encode_runs
from medsyn2.server.voxels import VOXELS
from tests.unit.server.conftest import BASE


def test_the_state_tells_the_model_and_its_grid(page):
    state = page.client.get("/api/state").json()
    model = state["model"]
    assert (model["state"], model["grid"]["shape"], model["max_report_tokens"]) == ("ready", [16, 32, 32], 48)
    assert {one["name"] for one in model["structures"] if one["trained"]} == {"heart", "lobes", "nodules"}
    assert (state["shelf"], state["job"], state["sampling"]["solver"]) == (0, None, "unipc")


def test_the_history_survives_a_reload_and_names_its_events(page, item):
    state = page.client.get("/api/state").json()
    assert [one["id"] for one in state["history"]] == [item["id"]]
    assert state["event"] == page.page.events.last
    assert page.client.get(f"/api/items/{item['id']}").json() == state["history"][0]


def test_a_mask_is_kept_as_runs(page, tiny_mask):
    runs = encode_runs(tiny_mask)
    response = page.post("/api/masks?name=mine&words=lung%20nodules", runs)
    assert response.status_code == 201
    record = response.json()
    assert (record["name"], record["structure"]) == ("mine", "nodules")
    assert record["volume_ml"] == pytest.approx(tiny_mask.sum() * 36 / 1000)
    assert page.client.get(f"/api/masks/{record['id']}").content == runs
    assert page.client.get(f"/api/masks/{record['id']}/record").json() == record
    assert page.client.delete(f"/api/masks/{record['id']}").status_code == 200
    assert page.client.get(f"/api/masks/{record['id']}").status_code == 404


@pytest.mark.parametrize(
    ("runs", "status"),
    [([16384], 201), ([0, 16384], 201), ([16383], 422), ([16385], 422), ([], 422), ([1] * 5000, 413)],
)
def test_runs_fill_the_grid_exactly(page, runs, status):
    assert page.post("/api/masks", np.array(runs, LENGTH).tobytes()).status_code == status


def test_a_volume_is_compressed_on_the_way(page, item):
    response = page.client.get(f"/api/volumes/{item['volume']}")
    assert response.headers["content-encoding"] == "gzip"
    assert int(response.headers["content-length"]) < len(response.content) == 16 * 32 * 32 * 2


def test_a_result_is_forgotten_with_its_volume(page, item):
    _, last = page.make(seeds=[9])
    assert page.client.delete(f"/api/items/{last['id']}").status_code == 200
    assert page.client.get(f"/api/volumes/{last['volume']}").status_code == 404
    assert not (page.session.root / "items" / last["id"]).exists()
    assert page.client.get(f"/api/items/{item['id']}").status_code == 200


@pytest.mark.parametrize("name", ["mask", "region", "source"])
def test_a_job_with_an_unknown_id_is_refused(page, name):
    response = page.post("/api/jobs", kind="generate", **{name: "0" * 16})
    assert (response.status_code, response.json()["code"]) == (404, "id-unknown")


def test_static_files_are_those_of_the_folder(page, tmp_path, monkeypatch):
    monkeypatch.setattr(routes, "STATIC", tmp_path / "static")
    (tmp_path / "static").mkdir()
    (tmp_path / "static/index.html").write_text("<title>page</title>", encoding="utf-8")
    (tmp_path / "static/view.js").write_text("export {}", encoding="utf-8")
    (tmp_path / "static/secret.py").write_text("", encoding="utf-8")
    (tmp_path / "outside.js").write_text("", encoding="utf-8")
    assert page.client.get("/").headers["content-type"] == "text/html; charset=utf-8"
    assert page.client.get("/static/view.js").headers["content-type"].startswith("text/javascript")
    for name in ("secret.py", "..%2foutside.js", "../outside.js", "%2e%2e/outside.js", "static", ".", ""):
        assert page.client.get(f"/static/{name}").status_code == 404


def test_what_is_not_there_is_told_in_words(page):
    for method, path in [
        ("GET", "/api/nothing"),
        ("PUT", "/api/jobs"),
        ("GET", "/api/items/zz"),
        ("DELETE", "/api/jobs/1"),
    ]:
        response = page.client.request(method, path)
        assert response.status_code in (404, 405)
        assert set(response.json()) == {"code", "message", "remedy"}


def browser_at(address, page):
    return TestClient(page.guard, base_url=BASE, client=(address, 50000), cookies=dict(page.client.cookies))


@pytest.mark.parametrize(("address", "encoding"), [("127.0.0.1", None), ("::1", None), ("192.0.2.1", "gzip")])
def test_voxels_come_without_compression_on_this_machine_alone(page, item, address, encoding):
    answer = browser_at(address, page).get(f"/api/volumes/{item['volume']}")
    assert answer.headers.get("content-encoding") == encoding
    path = page.session.find("volumes", item["volume"]) / VOXELS
    assert answer.content == gzip.decompress(path.read_bytes())


def test_a_volume_that_goes_while_it_is_asked_for_is_missing(page):
    place = page.session.add("volumes", lambda folder: None, {})
    assert browser_at("127.0.0.1", page).get(f"/api/volumes/{place}").status_code == 404
    page.session.remove("volumes", place)
