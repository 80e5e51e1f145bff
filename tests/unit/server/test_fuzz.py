"""Every route with anything in it: no 500, no file outside the session, and the page goes on."""

import json
import random

import pytest

from medsyn2.server.app import ALL_ROUTES
from medsyn2.server.runs import LENGTH

PARTS = [
    "",
    "..",
    "%2e%2e%2f",
    "0" * 16,
    "f" * 16,
    "a" * 5000,
    "%00",
    "x.nii.gz",
    "..%5c..",
    "~",
    "\u00e9",
    "%ff",
    "-1",
]
VALUES = [
    *PARTS,
    "ct",
    "mask",
    "a.zip",
    "a.dcm",
    "a.nii.gz",
    "a.mha",
    "a.nrrd",
    "nii.gz",
    "zip",
    "1e9",
    "9" * 30,
    "\u2028",
]
BODIES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b'{"kind": "generate"}',
    b'{"kind": "edit", "source": "0000000000000000"}',
    b'{"findings": "\\u0000"}',
    b"\x00" * 100,
    b"\xff" * 2000,
    b"\x1f\x8b\x08" + bytes(50),
    b"PK\x03\x04" + bytes(50),
    bytes(128) + b"DICM" + bytes(200),
    b"NRRD0004\ntype: int16\nsizes: 999999 999999 999999\n\n",
    b"NDims = 3\nElementDataFile = /etc/passwd\n",
    (348).to_bytes(4, "little") + bytes(400),
    LENGTH.type(16384).tobytes(),
]
TYPES = ["application/json", "application/octet-stream", "text/plain", "", "multipart/form-data; boundary=a"]
QUERY = ["format", "name", "as", "of", "words", "after", "token", "other"]


def files_beside(page):
    """The files that are no part of the session, by their path and size."""
    root = page.session.root
    return {path: path.lstat().st_size for path in root.parent.rglob("*") if root not in (path, *path.parents)}


def requests_of(rng, ids):
    """Ten requests of each route and method."""
    for route in ALL_ROUTES:
        for method in sorted(route.methods):
            if route.path == "/api/events" and method == "GET":
                continue  # an answer without an end
            for _ in range(10):
                path = route.path
                for name in ("{id}", "{name}"):
                    path = path.replace(name, rng.choice([*PARTS, *ids]))
                query = {rng.choice(QUERY): rng.choice([*VALUES, *ids]) for _ in range(rng.randint(0, 3))}
                yield method, path, query, rng.choice(BODIES), rng.choice(TYPES)


def test_no_request_breaks_the_page_or_leaves_the_session(page, item):
    before = files_beside(page)
    ids = [item["id"], item["volume"], item["mask"]]
    statuses = set()
    for method, path, query, body, kind in requests_of(random.Random(0), ids):
        headers = {"Content-Type": kind} if kind else {}
        response = page.client.request(method, path, params=query, content=body, headers=headers)
        statuses.add(response.status_code)
        assert response.status_code != 500, (method, path, query, body, response.text)
        assert response.headers["x-content-type-options"] == "nosniff"
        if response.status_code >= 400 and method != "HEAD":
            assert "Traceback" not in response.text
            assert str(page.session.root) not in response.text
    assert statuses >= {200, 400, 404, 415, 422}
    assert files_beside(page) == before
    assert list((page.session.root / "work").iterdir()) == []
    assert page.client.get("/api/state").status_code == 200


@pytest.mark.parametrize("use", ["ct", "mask"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd", ".dcm", ".zip"])
def test_no_upload_breaks_the_page(page, use, suffix):
    for body in BODIES:
        response = page.post(f"/api/open?as={use}&name=a{suffix}", body)
        assert 400 <= response.status_code < 500, (body, response.text)
        assert set(response.json()) == {"code", "message", "remedy"}
        assert response.json()["code"] != "page-failed"
    assert list((page.session.root / "work").iterdir()) == []


def test_a_header_that_names_another_file_reads_nothing(page, tmp_path):
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(8 * 8 * 8))
    for place in (str(secret), "../secret.raw", "secret.raw", "LIST"):
        lines = ["NDims = 3", "DimSize = 8 8 8", "ElementSpacing = 1 1 2", "ElementType = MET_UCHAR"]
        header = "\n".join([*lines, f"ElementDataFile = {place}", ""])
        response = page.post("/api/open?as=mask&name=a.mha", header.encode())
        assert response.status_code == 422, json.dumps(response.json())
