"""Every route with anything in it: no 500, no file outside the session, and the page goes on."""

import asyncio
import json
import random
import re
from urllib.parse import urlencode

import pytest

from medsyn2.server.app import ALL_ROUTES
from medsyn2.server.events import BEAT_S
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
    b'{"findings": "A nodule. \\ud800"}',
    b'{"kind": "generate", "impression": "\\udfff", "words": "\\ud83d"}',
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
                continue  # an answer without an end, see below
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


NUMBERS = [*VALUES, "0", "1", "9" * 15, "9" * 16, "1_000", "+1", " 1", "1.0", "0x10", "\u0663", "\u00b2", "NaN", "1\n2"]
EVENTS = re.compile(r"((: \w+|id: \d+\nevent: [a-z]+\ndata: \{[^\r\n]*\})\n\n)+")


class Listener:
    """A request for events, as the server passes it to the application: it reads some answers and goes away."""

    def __init__(self, page, query, headers):
        host = {"host": page.client.base_url.netloc.decode(), "cookie": cookie_of(page)}
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/events",
            "raw_path": b"/api/events",
            "root_path": "",
            "query_string": urlencode(query).encode(),
            "headers": [(name.encode(), value.encode()) for name, value in {**host, **headers}.items()],
        }
        self.guard, self.told, self.is_gone = page.guard, [], asyncio.Event()

    async def receive(self):
        await self.is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.told.append(message)
        if message["type"] == "http.response.body" and message["body"]:
            self.is_gone.set()

    async def listen(self):
        """Return the status and the text until the first part."""
        async with asyncio.timeout(BEAT_S / 3):  # A stream that is left ends, and at once
            await self.guard(self.scope, self.receive, self.send)
        return self.told[0]["status"], b"".join(m["body"] for m in self.told[1:]).decode()


def cookie_of(page):
    return "; ".join(f"{name}={value}" for name, value in page.client.cookies.items())


def test_no_request_breaks_the_stream_of_events(page, item):
    async def listen_to_all():
        texts = [
            "Gr\u00f6\u00dfe",
            "\r\n\r\nevent: other",
            "\u2028\u0085",
            "\x00",
            "\ud800",
            "</script>",
            "x" * 100_000,
        ]
        for text in texts:
            page.page.events.tell("error", {"message": text})
        last = page.page.events.last
        queries = [{"after": number} for number in [*NUMBERS, str(last), str(last - 3), str(last + 1), str(-last)]]
        heads = [{"last-event-id": number} for number in NUMBERS if number.isprintable()]
        asked = [(query, {}) for query in queries] + [({}, head) for head in heads] + [({"other": "1"}, {})]
        return await asyncio.gather(*(Listener(page, query, headers).listen() for query, headers in asked)), len(asked)

    answers, num = asyncio.run(listen_to_all())
    assert len(answers) == num
    for status, text in answers:
        assert status == 200
        assert EVENTS.fullmatch(text), text[:200]
    assert page.client.get("/api/state").status_code == 200


def test_a_stream_of_events_needs_the_cookie(page):
    async def listen():
        listener = Listener(page, {}, {"cookie": "medsyn2-8123=wrong"})
        return await listener.listen()

    status, text = asyncio.run(listen())
    assert status == 403
    assert "id:" not in text
