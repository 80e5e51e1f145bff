import asyncio

import pytest
from starlette.requests import Request

from medsyn2.server import bodies
from medsyn2.server.bodies import BYTES_TYPE, JSON_TYPE, read_bytes, save_bytes
from medsyn2.server.problems import Refusal


def request(parts, media_type=BYTES_TYPE, wait_s=0.0):
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        await asyncio.sleep(wait_s)
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": [(b"content-type", media_type.encode())]}, receive)


def refusal_of(call):
    with pytest.raises(Refusal) as caught:
        asyncio.run(call)
    return caught.value.status, caught.value.code


def test_a_body_is_read_whole():
    assert asyncio.run(read_bytes(request([b"ab", b"c"]), BYTES_TYPE, 3)) == b"abc"
    assert asyncio.run(read_bytes(request([b"{}"], "Application/JSON; charset=utf-8"), JSON_TYPE, 3)) == b"{}"


def test_a_body_is_counted_as_it_comes():
    assert refusal_of(read_bytes(request([b"ab"] * 2), BYTES_TYPE, 3)) == (413, "body-too-long")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
def test_what_a_form_can_send_is_refused(kind):
    assert refusal_of(read_bytes(request([b"{}"], kind), JSON_TYPE, 10)) == (415, "body-type")


def test_a_slow_body_is_given_up(monkeypatch):
    monkeypatch.setattr(bodies, "PATIENCE_S", 0.05)
    assert refusal_of(read_bytes(request([b"a"] * 9, wait_s=0.02), BYTES_TYPE, 99)) == (408, "body-slow")


@pytest.mark.parametrize("limit", [2, 99])
def test_a_file_is_whole_or_absent(tmp_path, limit):
    path = tmp_path / "upload"
    call = save_bytes(request([b"ab", b"c"]), path, limit, 5)
    if limit == 99:
        asyncio.run(call)
        assert path.read_bytes() == b"abc"
    else:
        assert refusal_of(call)[0] == 413
        assert not path.exists()


def test_a_disk_that_cannot_be_written_is_named(tmp_path):
    assert refusal_of(save_bytes(request([b"ab"]), tmp_path / "nowhere/upload", 9, 5)) == (507, "session-full")
